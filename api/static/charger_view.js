// A charger's view: what it does now, whether it or a car loses energy and since when, and the figures
// of a window by the hour or day and by the session.

import { chargerAddress, chargersAddress } from "./address.js";
import { chargerBlame } from "./charger_blame.js";
import { chargerHours } from "./charger_hours.js";
import { coverageText, oddities } from "./coverage.js";
import { askKnown, csvLink, figuresEveryMs } from "./device_figures.js";
import { deviceSessions } from "./device_sessions.js";
import { h, idText, say, vehicleLink } from "./dom.js";
import { judgement } from "./efficiency.js";
import { FigureTile, tileRow } from "./figure_tiles.js";
import { ago, count, kwh, percent, plural } from "./format.js";
import { ask, pathSegment } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { raisedAlertsPanel } from "./raised_alerts.js";
import { serverNow } from "./server_clock.js";
import { windowOf, windowQuery, windowTitle } from "./time_window.js";
import { uncertainText, whatToDo } from "./vehicle_alerts.js";
import { windowPicker } from "./window_picker.js";

const STATE_EVERY_MS = 10_000;
const UNKNOWN_CHARGER =
  "No charger of this id was ever registered or heard of. " +
  "Ids are exact, upper and lower case included.";

// {nodes, stop}: the elements of the view, and a function that ends its polls. `chosen` is its window.
export function chargerView(id, chosen, mayOperate) {
  const state = statePanel(id);
  const blame = chargerBlame(id, chosen);
  const figures = figuresPanel(id, chosen);
  const raised = raisedAlertsPanel(mayOperate, id);
  const polls = [state, raised, blame.panel, figures.panel].map((panel) => panel.asking.start());
  const heading = h("h1", {}, h("span", { class: "kind" }, "Charger "), idText(id));
  const fleet = h("a", { class: "back", href: "#" }, "← The fleet");
  const all = h("a", { class: "back", href: chargersAddress(chosen) }, "All chargers");
  const title = h("div", { class: "title" }, fleet, all, heading);
  return {
    nodes: [title, state.node, raised.node, blame.panel.node, figures.panel.node],
    stop: () => {
      figures.stop();
      blame.stop();
      for (const poll of polls) poll.stop();
    },
  };
}

function figuresPanel(id, chosen) {
  const panel = new Panel(windowTitle(chosen), {
    loading: "Adding up its readings …",
    className: "wide",
    aside: windowPicker(chosen, (choice) => chargerAddress(id, choice)),
  });
  const alerts = h("div", { class: "alerts" });
  const tiles = chargerTiles();
  const note = h("p", { class: "note" });
  const hours = chargerHours(chosen);
  const sessions = deviceSessions("charger", chosen);
  const title = h("h3", {}, "Sessions on it");
  const readings = csvLink("meters", id);
  const parts = [alerts, tiles.node, note, hours.node, title, sessions.node, readings.node];
  panel.body.append(...parts);
  panel.poll(
    figuresEveryMs(chosen),
    (signal) => askFigures(id, chosen, sessions, signal),
    ({ meter, figures, found, limits, window }) => {
      if (meter === null) {
        panel.empty(UNKNOWN_CHARGER);
        return;
      }
      alerts.replaceChildren(...meter.alerts.map(alertNode));
      tiles.show(meter, figures, limits);
      note.textContent = basisText(meter, figures);
      hours.show(meter, window, limits);
      sessions.show(found);
      readings.show(window);
    },
  );
  return { panel, stop: hours.stop };
}

// {meter, figures, found, limits, window}: the first two are null when the API does not know it.
async function askFigures(id, chosen, sessions, signal) {
  const window = windowOf(chosen, serverNow());
  const query = windowQuery(window);
  const path = `/v1/analytics/meters/${pathSegment(id)}`;
  const [limits, meter, figures, found] = await Promise.all([
    askLimits(signal),
    askKnown(`${path}?${query}`, signal),
    askKnown(`${path}/efficiency?${query}`, signal),
    sessions.ask(id, query, signal),
  ]);
  return { meter, figures, found, limits, window };
}

function chargerTiles() {
  const efficiency = new FigureTile("Efficiency");
  const drawn = new FigureTile("AC drawn");
  const delivered = new FigureTile("DC delivered");
  const charging = new FigureTile("Sessions");
  const show = ({ metrics }, figures, limits) => {
    const { energyOutsideSessions: outside, readingCount } = metrics;
    const loose = outside ? `${kwh(outside)} of it outside sessions` : "all of it in sessions";
    drawn.show(kwh(metrics.totalEnergyConsumedAc), loose, outside ? "warn" : "");
    if (figures === null) return;
    const { efficiencyRatio, totalEnergyDeliveredDc, vehicles } = figures.metrics;
    efficiency.show(percent(efficiencyRatio), ...judgement(figures, limits));
    delivered.show(kwh(totalEnergyDeliveredDc), "to the vehicles on it");
    const readings = `${count(readingCount)} readings`;
    charging.show(
      count(metrics.chargingSessions),
      `of ${plural(vehicles, "vehicle")}`,
      "",
      readings,
    );
  };
  return { node: tileRow(efficiency, drawn, delivered, charging), show };
}

// What the efficiency rests on, and what was odd about the charger's own readings.
export function basisText(meter, figures) {
  const odd = oddities(meter.coverage).join("; ");
  const own = odd ? ` Its own readings: ${odd}.` : "";
  return figures === null ? own.trim() : `Efficiency: ${coverageText(figures.coverage)}.${own}`;
}

function alertNode(alert) {
  const todo = whatToDo(alert);
  if (!alert.certain)
    return h("p", { class: "callout unsure" }, `▲ ${uncertainText(alert)} ${todo}`);
  return h("p", { class: "callout warn" }, h("strong", {}, `▲ ${alert.message}. `), todo);
}

function statePanel(id) {
  const panel = new Panel("Now", { loading: "Asking what it does now …", className: "current" });
  const text = h("p", { class: "now" });
  panel.body.append(text);
  panel.poll(
    STATE_EVERY_MS,
    (signal) => askState(id, signal),
    (answer) => {
      if (answer.device === null && answer.state === null) panel.empty("Never heard of.");
      else showState(text, answer);
    },
  );
  return panel;
}

// {device, state, session}: what is registered of it, its newest reading, and its active session.
async function askState(id, signal) {
  const path = `/v1/devices/meters/${pathSegment(id)}`;
  const newest = `/v1/sessions?meterId=${encodeURIComponent(id)}&limit=1`;
  const [device, state, { body }] = await Promise.all([
    askKnown(path, signal),
    askKnown(`${path}/state`, signal),
    ask(newest, { signal }),
  ]);
  return { device, state, session: body.find(({ isActive }) => isActive) ?? null };
}

function showState(node, { device, state, session }) {
  const [before, after] = stateTexts(device, state, session);
  const vehicle = session ? vehicleLink(session.vehicleId) : "";
  if (node.textContent === before + (session?.vehicleId ?? "") + after) return;
  say(node, "");
  node.append(before, vehicle, after);
}

// What the charger does now, in words: what stands before the vehicle on it, and what after.
export function stateTexts(device, state, session) {
  const place = device?.location ? `${device.location}. ` : "";
  const retired = device?.isActive === false ? "Retired. " : "";
  const heard = state === null ? "never heard of" : `last heard ${ago(state.timestamp)}`;
  const doing = session ? "Charging " : "Not charging";
  return [`${place}${retired}${doing}`, `; ${heard}.`];
}
