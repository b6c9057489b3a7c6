// A vehicle's view: what it does now, and the figures of a window by the hour or day and by the session.

import { vehicleAddress } from "./address.js";
import { askKnown, basisList, csvLink, figuresEveryMs, qualityText } from "./device_figures.js";
import { deviceSessions } from "./device_sessions.js";
import { h, idText, say } from "./dom.js";
import { judgement, outsideSessionsText } from "./efficiency.js";
import { FigureTile, tileRow } from "./figure_tiles.js";
import { ago, celsius, count, kwh, percent, plural, stateOfCharge } from "./format.js";
import { ask, pathSegment } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { raisedAlertsPanel } from "./raised_alerts.js";
import { serverNow } from "./server_clock.js";
import { windowOf, windowQuery, windowTitle } from "./time_window.js";
import { alertNodes } from "./vehicle_alerts.js";
import { vehicleHours } from "./vehicle_hours.js";
import { windowPicker } from "./window_picker.js";

const STATE_EVERY_MS = 10_000;
const UNKNOWN_VEHICLE =
  "No vehicle of this id was ever registered or heard of. " +
  "Ids are exact, upper and lower case included.";

// {nodes, stop}: the elements of the view, and a function that ends its polls. `chosen` is its window.
export function vehicleView(id, chosen, mayOperate) {
  const figures = figuresPanel(id, chosen);
  const state = statePanel(id);
  const raised = raisedAlertsPanel(mayOperate, id);
  const polls = [figures.panel, state, raised].map((panel) => panel.asking.start());
  const heading = h("h1", {}, h("span", { class: "kind" }, "Vehicle "), idText(id));
  const back = h("a", { class: "back", href: "#" }, "← The fleet");
  return {
    nodes: [
      h("div", { class: "title" }, back, heading),
      state.node,
      raised.node,
      figures.panel.node,
    ],
    stop: () => {
      figures.stop();
      for (const poll of polls) poll.stop();
    },
  };
}

function figuresPanel(id, chosen) {
  const panel = new Panel(windowTitle(chosen), {
    loading: "Adding up its readings …",
    className: "wide",
    aside: windowPicker(chosen, (choice) => vehicleAddress(id, choice)),
  });
  const alerts = h("div", { class: "alerts" });
  const tiles = vehicleTiles();
  const basis = basisList();
  const hours = vehicleHours(chosen);
  const sessions = deviceSessions("vehicle", chosen);
  const title = h("h3", {}, "Its sessions");
  const readings = csvLink("vehicles", id);
  const parts = [tiles, basis, hours].map(({ node }) => node);
  panel.body.append(alerts, ...parts, title, sessions.node, readings.node);
  panel.poll(
    figuresEveryMs(chosen),
    (signal) => askFigures(id, chosen, sessions, signal),
    ({ figures, found, limits, window }) => {
      if (figures === null) {
        panel.empty(UNKNOWN_VEHICLE);
        return;
      }
      alerts.replaceChildren(...alertNodes(figures, found, limits, chosen));
      tiles.show(figures, limits);
      basis.show(figures.coverage);
      sessions.show(found);
      hours.show(figures, found.sessions, window, limits);
      readings.show(window);
    },
  );
  return { panel, stop: hours.stop };
}

// {figures, found, limits, window}: `figures` is null when the API does not know the vehicle.
async function askFigures(id, chosen, sessions, signal) {
  const window = windowOf(chosen, serverNow());
  const query = windowQuery(window);
  const path = `/v1/analytics/performance/${pathSegment(id)}?${query}`;
  const [limits, figures, found] = await Promise.all([
    askLimits(signal),
    askKnown(path, signal),
    sessions.ask(id, query, signal),
  ]);
  return { figures, found, limits, window };
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
