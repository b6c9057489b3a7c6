// A vehicle's day: what it is doing, its figures and why they are flagged, hour by hour, session by
// session.

import { h, idText, say, vehicleHash } from "./dom.js";
import { ago, celsius, count, coverageText, isLow, judgement, kwh, percent, plural, soc } from "./format.js";
import { ask, segment, serverNow } from "./http.js";
import { hoursPart } from "./hours.js";
import { Panel } from "./panel.js";
import { Tile, tiles } from "./tiles.js";
import { suspicion, sessionsPart } from "./visits.js";

const FIGURES_MS = 20_000;
const STATE_MS = 10_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const DAY_FORM = /^\d{4}-\d\d-\d\d$/;

const iso = (time) => new Date(time).toISOString();

// [start, end): a UTC day, or the fleet's window: the last 24 h, from a whole hour on.
function windowOf(day) {
  const now = serverNow();
  if (!day) return { start: Math.floor((now - DAY) / HOUR) * HOUR, end: now };
  const start = Date.parse(`${day}T00:00:00Z`);
  return { start, end: now > start ? Math.min(start + DAY, now) : start + DAY };
}

export function vehicleView(id, askedDay) {
  const day = DAY_FORM.test(askedDay ?? "") && Date.parse(`${askedDay}T00:00:00Z`) ? askedDay : null;
  const state = h("p", { class: "now" });
  const panel = new Panel(day ? `The day ${day}` : "The last 24 hours", { loading: "Adding up its readings …", className: "wide", aside: dayPicker(id, day) });
  const parts = figuresPart();
  const hours = hoursPart();
  const visits = sessionsPart();
  panel.body.append(parts.alerts, parts.tiles, hours.node, h("h3", {}, "Its sessions"), visits.node);

  const model = ask(`/v1/devices/vehicles/${safely(id)}`).then(({ body }) => body.model, () => null);
  const question = async (signal) => {
    const window = windowOf(day);
    const query = `startTime=${iso(window.start)}&endTime=${iso(window.end)}`;
    try {
      const [figures, sessions] = await Promise.all([
        ask(`/v1/analytics/performance/${segment(id)}?${query}`, { signal }),
        visits.ask(id, query, signal),
      ]);
      return { window, figures: figures.body, sessions };
    } catch (trouble) {
      if (trouble.status === 404) return null;
      throw trouble;
    }
  };
  panel.poll(FIGURES_MS, question, (answer) => {
    if (!answer) return panel.empty("No vehicle of this id was ever registered or heard of. Ids are exact, upper and lower case included.");
    const { window, figures, sessions } = answer;
    parts.show(figures, sessions);
    visits.show(sessions);
    hours.show(figures, sessions, window);
    return null;
  });

  const current = new Panel("Now", { loading: "Asking what it does now …", className: "current", level: 2 });
  current.body.append(state);
  const known = (trouble) => {
    if (trouble.status === 404) return { body: null };
    throw trouble;
  };
  current.poll(STATE_MS, async (signal) => ({ now: (await ask(`/v1/analytics/realtime/${segment(id)}`, { signal }).catch(known)).body, model: await model }), ({ now, model }) => {
    if (now === null) return current.empty("Unknown.");
    return say(state, stateText(now, model));
  });

  const asking = [panel.asking.start(), current.asking.start()];
  const heading = h("h1", {}, h("span", { class: "kind" }, "Vehicle "), idText(id));
  const back = h("a", { class: "back", href: "#" }, "← The fleet");
  return {
    nodes: [h("div", { class: "title" }, back, heading), current.node, panel.node],
    stop: () => {
      hours.stop();
      asking.forEach((poll) => poll.stop());
    },
  };
}

function safely(id) {
  try {
    return segment(id);
  } catch {
    return "";
  }
}

function stateText({ isCharging, currentSoc, currentBatteryTemp, lastUpdated }, model) {
  const name = model ? `${model}. ` : "";
  if (lastUpdated === null) return `${name}Registered, but never heard of.`;
  const doing = isCharging ? "Charging" : "Not charging";
  return `${name}${doing}, battery at ${soc(currentSoc)} and ${celsius(currentBatteryTemp)}; last heard ${ago(lastUpdated)}.`;
}

function dayPicker(id, day) {
  const today = iso(serverNow()).slice(0, 10);
  const shift = (days) => iso(Date.parse(day ?? today) + days * DAY).slice(0, 10);
  const input = h("input", { type: "date", id: "day", value: day, max: today });
  input.addEventListener("change", () => (location.hash = vehicleHash(id, input.value)));
  const link = (text, to, label) => h("a", { class: "button", href: vehicleHash(id, to), "aria-label": label }, text);
  return h(
    "nav",
    { class: "days", "aria-label": "Which day" },
    link("‹ Day before", shift(-1)),
    h("label", { for: "day" }, "Day"),
    input,
    day && day < today ? link("Day after ›", shift(1)) : null,
    day ? link("Last 24 hours", null) : null,
  );
}

function figuresPart() {
  const alerts = h("div", { class: "alerts" });
  const efficiency = new Tile("Efficiency");
  const drawn = new Tile("AC drawn");
  const delivered = new Tile("DC delivered");
  const temperature = new Tile("Mean battery temperature");
  const show = (figures, sessions) => {
    const { metrics, coverage } = figures;
    efficiency.show(percent(metrics.efficiencyRatio), ...judgement(figures), coverageText(coverage));
    drawn.show(kwh(metrics.totalEnergyConsumedAc), `in ${plural(metrics.chargingSessions, "session")}`);
    const outside = coverage.dcEnergyOutsideSessions;
    delivered.show(kwh(metrics.totalEnergyDeliveredDc), outside ? `and ${kwh(outside)} outside sessions` : "all of it in sessions");
    const resets = coverage.counterResets ? `, ${plural(coverage.counterResets, "counter reset")}` : "";
    temperature.show(celsius(metrics.averageBatteryTemp), `${count(metrics.readingCount)} readings${resets}`);
    alerts.replaceChildren(...figures.alerts.map((alert) => h("p", { class: "callout bad" }, h("strong", {}, `✕ ${alert.message}. `), explain(figures, sessions))));
  };
  return { alerts, tiles: tiles(efficiency, drawn, delivered, temperature), show };
}

// What an alert comes to, and where to look first.
function explain(figures, sessions) {
  if (!isLow(figures)) return "A meter or its assignment to the sessions is wrong.";
  const { totalEnergyConsumedAc: drawn, totalEnergyDeliveredDc: delivered } = figures.metrics;
  return `${kwh(drawn - delivered)} of ${kwh(drawn)} did not reach the battery. ${suspicion(sessions)}`;
}
