// Whether a charger or a car on it loses energy: a verdict, since when, how sure it is, the vehicles it
// rests on, and the 31 days up to the end of the chosen window as a chart. Vehicles are compared over
// the time since the charger is low: the fine days before would hide it. Only who charged nowhere else
// since then is compared with all its 31 days elsewhere.

import { chargerVehicles } from "./charger_vehicles.js";
import { chargerOrCar, lowStretch, sinceText, withElsewhere } from "./charger_verdict.js";
import { daysFigure } from "./days_figure.js";
import { askKnown } from "./device_figures.js";
import { h, say, vehicleLink } from "./dom.js";
import { pathSegment } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { daysUpTo, isoDay, windowOf, windowQuery } from "./time_window.js";

const EVERY_MS = 60_000;
const REDONE = "Figures are being added up anew: until that is done, old and new mix.";

// {panel, stop}
export function chargerBlame(id, chosen) {
  const panel = new Panel("The charger or the car?", {
    loading: "Comparing the vehicles on it …",
    className: "wide",
  });
  const verdict = h("p", { class: "verdict" });
  const since = h("p", { class: "since" });
  const sure = h("p", { class: "sure" });
  const note = h("p", { class: "note" });
  const figure = daysFigure("The charger's days, the newest first");
  const vehicles = chargerVehicles(chosen);
  panel.body.append(verdict, since, sure, figure.node, vehicles.node, note);
  panel.poll(
    EVERY_MS,
    (signal) => askDays(id, chosen, signal),
    ({ figures, groups, found, limits, window }) => {
      if (figures === null) {
        panel.empty("Nothing is known of it.");
        return;
      }
      const blamed = chargerOrCar(figures, limits, (vehicle) => vehicleLink(vehicle, chosen));
      verdict.className = `verdict ${blamed.judged}`;
      verdict.replaceChildren(...blamed.parts);
      const words = sinceText(found, limits);
      say(since, words);
      say(sure, blamed.sure);
      vehicles.show(figures.vehicles, limits);
      const days = groups.filter(({ metrics }) => metrics.chargingSessions > 0);
      figure.show({ days, limits, words, ...window });
      say(note, noteText(figures, found, window));
    },
  );
  return { panel, stop: figure.stop };
}

// {figures, groups, found, limits, window}: the figures are null when the API does not know it.
async function askDays(id, chosen, signal) {
  const window = daysUpTo(windowOf(chosen, serverNow()));
  const path = `/v1/analytics/meters/${pathSegment(id)}/efficiency`;
  const [limits, days] = await Promise.all([
    askLimits(signal),
    askKnown(`${path}?${windowQuery(window)}&groupBy=day`, signal),
  ]);
  if (days === null) return { figures: null };
  const { groups } = days;
  const found = lowStretch(groups);
  if (found.stretch.length === 0) return { figures: days, groups, found, limits, window };
  const since = { ...window, start: Date.parse(found.stretch[0].start) };
  const low = await askKnown(`${path}?${windowQuery(since)}`, signal);
  const figures = low && { ...low, vehicles: withElsewhere(low.vehicles, days.vehicles) };
  return { figures, groups, found, limits, window };
}

// What time the vehicles are compared over, and the chart shows.
function noteText({ beingRedone }, { stretch }, { start, end }) {
  const compared = isoDay(stretch.length ? stretch[0].start : start);
  const before = stretch.length ? ", with their 31 days elsewhere where they have none since" : "";
  const extent =
    `Vehicles are compared from ${compared} on${before}; ` +
    `the chart has the 31 days from ${isoDay(start)} to ${isoDay(end - 1)}.`;
  return beingRedone ? `${extent} ${REDONE}` : extent;
}
