// The fleet's efficiency over 24 hours, and the vehicles whose figures have an alert, the worst
// first.

import { h, say, vehicleLink } from "./dom.js";
import { coverageText, isLow, judgement, lowWords, outsideSessionsText } from "./efficiency.js";
import { FigureTile, tileRow } from "./figure_tiles.js";
import { ago, clock, count, energy, kwh, limitPercent, percent, plural } from "./format.js";
import { ask } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { Table } from "./table.js";

const EVERY_MS = 15_000;
const VEHICLES_ASKED = 100;
const SHOWN_AT_FIRST = 12;
const OLD_MS = 10 * 60_000;
const FLEET = "/v1/analytics/fleet";

export function fleetEfficiencyPanel() {
  const panel = new Panel("Efficiency over 24 hours", {
    loading: "Adding up the last 24 hours …",
    className: "flagged",
  });
  const verdict = h("p", { class: "verdict" });
  const unjudged = h("p", { class: "note warn" });
  const tiles = fleetTiles();
  const table = new Table("Vehicles to look at, the worst first", COLUMNS, {
    key: ({ vehicleId }) => vehicleId,
    first: SHOWN_AT_FIRST,
    rowClass: (vehicle) => (isLow(vehicle) ? "low" : "odd"),
  });
  const note = h("p", { class: "note" });
  panel.body.append(verdict, unjudged, tiles.node, table.node, note);

  panel.poll(EVERY_MS, askFleet, ({ fleet, limits }) => {
    const { vehicles } = fleet;
    verdict.className = `verdict ${fleetJudged(fleet)}`;
    verdict.replaceChildren(...verdictParts(fleet, limits, vehicleLink));
    say(unjudged, unjudgedText(fleet.unjudgedCounts));
    unjudged.hidden = unjudged.textContent === "";
    tiles.show(fleet, limits);
    table.show(vehicles, alertCount(fleet));
    table.node.hidden = vehicles.length === 0;
    note.textContent = noteText(fleet);
    note.classList.toggle("warn", isOld(fleet) || fleet.beingRedone);
  });
  return panel;
}

// Vehicles with either alert are asked for apart, because a fleet may have thousands of others.
async function askFleet(signal) {
  const vehiclesWith = (alert) =>
    ask(`${FLEET}?alert=${alert}&limit=${VEHICLES_ASKED}`, { signal });
  const [limits, { body: fleet }] = await Promise.all([
    askLimits(signal),
    vehiclesWith("low_efficiency"),
  ]);
  if (fleet.alertCounts.impossibleEfficiency) {
    const { body } = await vehiclesWith("impossible_efficiency");
    fleet.vehicles.push(...body.vehicles);
  }
  return { fleet, limits };
}

function fleetTiles() {
  const efficiency = new FigureTile("Fleet efficiency");
  const low = new FigureTile("Vehicles with low efficiency");
  const drawn = new FigureTile("AC drawn");
  const delivered = new FigureTile("DC delivered");
  const show = (fleet, limits) => {
    const { metrics, coverage } = fleet;
    const sessions = `in ${plural(metrics.chargingSessions, "session")}`;
    efficiency.show(percent(metrics.efficiencyRatio), ...fleetJudgement(fleet, limits));
    low.rename(`Vehicles under ${limitPercent(limits.lowEfficiency)}`);
    low.show(...lowShown(fleet));
    drawn.show(kwh(metrics.totalEnergyConsumedAc), sessions);
    delivered.show(kwh(metrics.totalEnergyDeliveredDc), outsideSessionsText(coverage));
  };
  return { node: tileRow(efficiency, low, drawn, delivered), show };
}

// How many vehicles have an alert, listed or not; and how many were judged at all.
const alertCount = ({ alertCounts }) =>
  alertCounts.lowEfficiency + alertCounts.impossibleEfficiency;
const judgedCount = ({ vehicleCount, unjudgedCounts: { noSession, noReadings, noEnergy } }) =>
  vehicleCount - noSession - noReadings - noEnergy;

// The fleet as good or bad; empty when no vehicle was judged: no alert means nothing then. Nor is it
// good when its sums have an alert, because of vehicles that were not judged.
export function fleetJudged(fleet) {
  if (alertCount(fleet) > 0) return "bad";
  return judgedCount(fleet) > 0 && fleet.alerts.length === 0 ? "good" : "";
}

// The fleet's ratio may be made of the AC side of one vehicle and the DC side of another.
export function fleetJudgement(fleet, limits) {
  return judgedCount(fleet) > 0 ? judgement(fleet, limits) : ["no vehicle can be judged", ""];
}

// What the tile of low vehicles shows: [value, note, judged, more].
export function lowShown(fleet) {
  const { lowEfficiency } = fleet.alertCounts;
  const judged = judgedCount(fleet);
  const { noSession, noReadings, noEnergy } = fleet.unjudgedCounts;
  const others = [
    noReadings + noEnergy ? `${count(noReadings + noEnergy)} cannot be judged` : null,
    noSession ? `${count(noSession)} did not charge` : null,
  ];
  const more = others.filter((text) => text).join(", ");
  if (judged === 0) return ["–", "no vehicle can be judged", "", more];
  return [count(lowEfficiency), `of ${count(judged)} judged`, lowEfficiency ? "bad" : "good", more];
}

// The API's own words, and the energy they stand for.
export function alertText({ metrics, alerts }) {
  const lost = metrics.totalEnergyConsumedAc - metrics.totalEnergyDeliveredDc;
  const text = alerts.map((alert) => alert.message).join("; ");
  return lost > 0 ? `${text}: ${kwh(lost)} never reached the battery` : text;
}

const reasonNode = (vehicle) =>
  h("div", {}, alertText(vehicle), h("div", { class: "detail" }, coverageText(vehicle.coverage)));

const COLUMNS = [
  {
    title: "Vehicle",
    value: ({ vehicleId }) => vehicleId,
    render: ({ vehicleId }) => vehicleLink(vehicleId),
  },
  {
    title: "Efficiency",
    className: "number ratio",
    value: ({ metrics }) => percent(metrics.efficiencyRatio),
  },
  {
    title: "Why it is flagged",
    className: "why",
    value: (vehicle) => alertText(vehicle) + coverageText(vehicle.coverage),
    render: reasonNode,
  },
  {
    title: "AC kWh",
    className: "number minor",
    value: ({ metrics }) => energy(metrics.totalEnergyConsumedAc),
  },
  {
    title: "DC kWh",
    className: "number minor",
    value: ({ metrics }) => energy(metrics.totalEnergyDeliveredDc),
  },
];

// The fleet's verdict as texts and nodes; `link` makes the node of a vehicle's id.
export function verdictParts(fleet, limits, link) {
  const { vehicles, vehicleCount, alertCounts, metrics } = fleet;
  const under = `under ${limitPercent(limits.lowEfficiency)}`;
  if (vehicleCount === 0) return ["No vehicle has reported or charged in the last 24 hours."];
  if (metrics.chargingSessions === 0) return ["No vehicle has charged in the last 24 hours."];
  if (alertCount(fleet) === 0) {
    const judged = judgedCount(fleet);
    if (judged === 0) return ["Nothing can be said of the fleet yet."];
    const mark = fleetJudged(fleet) === "good" ? "✓ " : "";
    return [`${mark}None of ${plural(judged, "judged vehicle")} is ${under}.`];
  }
  if (alertCounts.lowEfficiency === 0) {
    const counted = plural(alertCounts.impossibleEfficiency, "vehicle");
    return [`✕ ${counted} delivered more than was drawn: check the meters.`];
  }
  const meaning = `Under ${limitPercent(limits.lowEfficiency)} means a fault or a leak.`;
  const [worst] = vehicles;
  const ratio = worst.metrics.efficiencyRatio;
  const share = ratio < limits.lowEfficiency ? percent(ratio) : lowWords(ratio, limits);
  const counted = `${count(alertCounts.lowEfficiency)} of ${plural(vehicleCount, "vehicle")}`;
  return [
    `✕ ${counted} are ${under}. The worst is `,
    link(worst.vehicleId),
    `: only ${share} of the energy drawn reached its battery. ${meaning}`,
  ];
}

// The vehicles that charged, and of which still nothing can be said.
export function unjudgedText({ noReadings, noEnergy }) {
  const reasons = [
    noReadings ? `${plural(noReadings, "vehicle")} without readings of both sides` : null,
    noEnergy ? `${plural(noEnergy, "vehicle")} without any energy drawn` : null,
  ];
  const all = reasons.filter((text) => text).join(" and ");
  return all ? `▲ Not judged, though they charged: ${all}.` : "";
}

const isOld = (fleet) => serverNow() - Date.parse(fleet.asOf) > OLD_MS;

// How old the figures are, how many vehicles are shown, and what the figures rest on.
export function noteText(fleet) {
  const { period, asOf, coverage, vehicles } = fleet;
  const all = alertCount(fleet);
  const sentences = [];
  if (fleet.beingRedone) {
    sentences.push(
      "What devices' readings mean was changed: until all is added up again, old and new mix.",
    );
  }
  if (isOld(fleet)) {
    const since = `${clock(asOf)} (${ago(asOf)})`;
    sentences.push(`The figures are old: what came in since ${since} is not in them yet.`);
  }
  if (all > vehicles.length) {
    sentences.push(`The worst ${count(vehicles.length)} of ${count(all)} are listed.`);
  }
  const start = clock(period.start, { seconds: false });
  const basis = coverageText(coverage);
  sentences.push(`Whole hours from ${start} on, as of ${clock(asOf)}; ${basis}.`);
  return sentences.join(" ");
}
