// The fleet's efficiency day by day over 31 days: since when it is low, and how sure that is.

import { hasRatio, isComplete } from "./days_chart.js";
import { daysFigure } from "./days_figure.js";
import { h, say } from "./dom.js";
import { isLow } from "./efficiency.js";
import { clock, limitPercent, plural } from "./format.js";
import { ask } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { DAY_MS, isoDay, isoTime } from "./time_window.js";

const EVERY_MS = 300_000;
const DAYS = 31;
const PATH = "/v1/analytics/fleet?groupBy=day&limit=1";
const NOTHING = `No vehicle has charged in the last ${DAYS} days.`;

export function fleetDaysPanel() {
  const panel = new Panel(`Day by day over ${DAYS} days`, {
    loading: `Adding up ${DAYS} days …`,
    className: "days-chart",
  });
  const summary = h("p", {});
  const figure = daysFigure("The fleet's days, the newest first");
  const note = h("p", { class: "note" });
  panel.body.append(summary, figure.node, note);
  panel.poll(EVERY_MS, askDays, ({ fleet, limits, window }) => {
    const days = fleet.groups.filter(({ metrics }) => metrics.chargingSessions > 0);
    const words = daysText(days, limits);
    say(summary, words);
    figure.show({ days, limits, words, ...window });
    note.textContent = `UTC days, as of ${clock(fleet.asOf)}; today's is not over yet.`;
    if (days.length === 0) panel.empty(NOTHING);
  });
  panel.stop = figure.stop;
  return panel;
}

// {fleet, limits, window}: the window begins with a UTC day and ends now. Throws ApiError.
async function askDays(signal) {
  const end = serverNow();
  const start = Math.floor(end / DAY_MS) * DAY_MS - (DAYS - 1) * DAY_MS;
  const path = `${PATH}&startTime=${isoTime(start)}&endTime=${isoTime(end)}`;
  const [limits, { body }] = await Promise.all([askLimits(signal), ask(path, { signal })]);
  return { fleet: body, limits, window: { start, end } };
}

// On how many days it was under the limit, for how long without a break, and how sure that is.
export function daysText(days, limits) {
  const judged = days.filter(hasRatio);
  if (judged.length === 0) return "No day can be judged: a side has no readings.";
  const under = `under ${limitPercent(limits.lowEfficiency)}`;
  const low = judged.filter(isLow);
  const certain = low.filter(isComplete).length;
  const of = `of ${plural(judged.length, "judged day")}`;
  const parts = [];
  if (certain) parts.push(`✕ U${under.slice(1)} on ${certain} ${of}${sinceText(judged)}.`);
  if (low.length > certain) {
    const more = certain ? " more" : ` ${of}`;
    parts.push(`▲ Perhaps ${under} on ${low.length - certain}${more}, which are uncertain.`);
  }
  return parts.join(" ") || `✓ Not ${under} on any ${of}.`;
}

// Since when it has been low on every judged day up to the newest, where that is more than one.
function sinceText(judged) {
  const last = judged.findLastIndex((day) => !isLow(day));
  const first = judged[last + 1];
  return first && judged.length - last > 2 ? `, on each since ${isoDay(first.start)}` : "";
}
