// A vehicle's view: what it does now, and the figures of a day by the hour and by the session.

import { vehicleAddress } from "./address.js";
import { basisSentences } from "./coverage.js";
import { h, idText, say } from "./dom.js";
import { judgement, outsideSessionsText } from "./efficiency.js";
import { FigureTile, tileRow } from "./figure_tiles.js";
import { ago, celsius, count, kwh, percent, plural, stateOfCharge } from "./format.js";
import { ask, pathSegment } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { calendarDay, isoDay, isoTime, shiftedDay, windowOf } from "./time_window.js";
import { alertNodes } from "./vehicle_alerts.js";
import { vehicleHours } from "./vehicle_hours.js";
import { vehicleSessions } from "./vehicle_sessions.js";

const FIGURES_EVERY_MS = 20_000;
const STATE_EVERY_MS = 10_000;
const UNKNOWN_VEHICLE =
  "No vehicle of this id was ever registered or heard of. " +
  "Ids are exact, upper and lower case included.";

// {nodes, stop}: the elements of the view, and a function that ends its polls. Without a valid
// `askedDay` it shows the last 24 hours.
export function vehicleView(id, askedDay) {
  const figures = figuresPanel(id, calendarDay(askedDay));
  const state = statePanel(id);
  const polls = [figures.panel.asking.start(), state.asking.start()];
  const heading = h("h1", {}, h("span", { class: "kind" }, "Vehicle "), idText(id));
  const back = h("a", { class: "back", href: "#" }, "← The fleet");
  return {
    nodes: [h("div", { class: "title" }, back, heading), state.node, figures.panel.node],
    stop: () => {
      figures.stop();
      for (const poll of polls) poll.stop();
    },
  };
}

function figuresPanel(id, day) {
  const panel = new Panel(day ? `The day ${day}` : "The last 24 hours", {
    loading: "Adding up its readings …",
    className: "wide",
    aside: dayPicker(id, day),
  });
  const alerts = h("div", { class: "alerts" });
  const tiles = vehicleTiles();
  const basis = basisList();
  const hours = vehicleHours();
  const sessions = vehicleSessions();
  const title = h("h3", {}, "Its sessions");
  const readings = h("a", { class: "button more" }, "Its readings, as CSV");
  panel.body.append(alerts, tiles.node, basis.node, hours.node, title, sessions.node, readings);
  panel.poll(
    FIGURES_EVERY_MS,
    (signal) => askFigures(id, day, sessions, signal),
    ({ figures, found, limits, window }) => {
      if (figures === null) {
        panel.empty(UNKNOWN_VEHICLE);
        return;
      }
      alerts.replaceChildren(...alertNodes(figures, found, limits));
      tiles.show(figures, limits);
      basis.show(figures.coverage);
      sessions.show(found);
      hours.show(figures, found.sessions, window, limits);
      readings.href = csvPath(id, window);
    },
  );
  return { panel, stop: hours.stop };
}

const windowQuery = ({ start, end }) => `startTime=${isoTime(start)}&endTime=${isoTime(end)}`;

// Where the vehicle's readings are, in a form in which no spreadsheet runs its id as a formula.
export function csvPath(id, window) {
  const query = `${windowQuery(window)}&format=csv&safe=true`;
  return `/v1/telemetry/vehicles/${pathSegment(id)}/history?${query}`;
}

// {figures, found, limits, window}: `figures` is null when the API does not know the vehicle.
async function askFigures(id, day, sessions, signal) {
  const window = windowOf(day, serverNow());
  const query = windowQuery(window);
  const path = `/v1/analytics/performance/${pathSegment(id)}?${query}`;
  const [limits, figures, found] = await Promise.all([
    askLimits(signal),
    askKnown(path, signal),
    sessions.ask(id, query, signal),
  ]);
  return { figures, found, limits, window };
}

// The answer's body, or null when the API does not know the vehicle.
async function askKnown(path, signal) {
  try {
    return (await ask(path, { signal })).body;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function statePanel(id) {
  const panel = new Panel("Now", { loading: "Asking what it does now …", className: "current" });
  const text = h("p", { class: "now" });
  panel.body.append(text);
  const model = askModel(id);
  const askState = async (signal) => {
    const path = `/v1/analytics/realtime/${pathSegment(id)}`;
    return { state: await askKnown(path, signal), model: await model };
  };
  panel.poll(STATE_EVERY_MS, askState, (answer) => {
    if (answer.state === null) panel.empty("Unknown.");
    else say(text, stateText(answer.state, answer.model));
  });
  return panel;
}

// The vehicle's model. The view does without it: null when the API gives no answer.
async function askModel(id) {
  try {
    return (await ask(`/v1/devices/vehicles/${pathSegment(id)}`)).body.model;
  } catch {
    return null;
  }
}

// What the vehicle does now, in words.
export function stateText({ isCharging, currentSoc, currentBatteryTemp, lastUpdated }, model) {
  const name = model ? `${model}. ` : "";
  if (lastUpdated === null) return `${name}Registered, but never heard of.`;
  const doing = isCharging ? "Charging" : "Not charging";
  const battery = `battery at ${stateOfCharge(currentSoc)} and ${celsius(currentBatteryTemp)}`;
  return `${name}${doing}, ${battery}; last heard ${ago(lastUpdated)}.`;
}

function dayPicker(id, day) {
  const today = isoDay(serverNow());
  const input = h("input", { type: "date", id: "day", value: day, max: today });
  input.addEventListener("change", () => {
    location.hash = vehicleAddress(id, input.value);
  });
  const link = (text, to) => h("a", { class: "button", href: vehicleAddress(id, to) }, text);
  return h(
    "nav",
    { class: "days", "aria-label": "Which day" },
    link("‹ Day before", shiftedDay(day ?? today, -1)),
    h("label", { for: "day" }, "Day"),
    input,
    day && day < today ? link("Day after ›", shiftedDay(day, 1)) : null,
    day ? link("Last 24 hours", null) : null,
  );
}

function vehicleTiles() {
  const efficiency = new FigureTile("Efficiency");
  const drawn = new FigureTile("AC drawn");
  const delivered = new FigureTile("DC delivered");
  const temperature = new FigureTile("Mean battery temperature");
  const show = (figures, limits) => {
    const { metrics, coverage } = figures;
    const judged = judgement(figures, limits);
    const sessions = `in ${plural(metrics.chargingSessions, "session")}`;
    const readings = `${count(metrics.readingCount)} readings`;
    efficiency.show(percent(metrics.efficiencyRatio), ...judged, qualityText(coverage));
    drawn.show(kwh(metrics.totalEnergyConsumedAc), sessions);
    delivered.show(kwh(metrics.totalEnergyDeliveredDc), outsideSessionsText(coverage));
    temperature.show(celsius(metrics.averageBatteryTemp), readings);
  };
  return { node: tileRow(efficiency, drawn, delivered, temperature), show };
}

const qualityText = ({ quality }) =>
  quality === "none" ? "rests on nothing: a side has no reading" : `rests on ${quality} readings`;

// What the figures rest on: a list that changes only when its sentences do.
function basisList() {
  const list = h("ul", { class: "basis note", "aria-label": "What the figures rest on" });
  let shown = null;
  const show = (coverage) => {
    const sentences = basisSentences(coverage);
    list.hidden = sentences.length === 0;
    if (shown === sentences.join()) return;
    shown = sentences.join();
    list.replaceChildren(...sentences.map((sentence) => h("li", {}, sentence)));
  };
  return { node: list, show };
}
