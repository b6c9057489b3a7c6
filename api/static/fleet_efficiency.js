// The fleet's efficiency over 24 hours: a verdict, tiles, and the vehicles whose figures have an alert.

import { coverageText } from "./coverage.js";
import { h, say, vehicleLink } from "./dom.js";
import { judgement, lowWords, outsideSessionsText } from "./efficiency.js";
import { FigureTile, tileRow } from "./figure_tiles.js";
import { alertLists, askAlerts, uncertainAlertCounts } from "./fleet_alerts.js";
import { ago, clock, count, kwh, limitPercent, percent, plural } from "./format.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";

const EVERY_MS = 15_000;
const OLD_MS = 10 * 60_000;

export function fleetEfficiencyPanel() {
  const panel = new Panel("Efficiency over 24 hours", {
    loading: "Adding up the last 24 hours …",
    className: "flagged",
  });
  const verdict = h("p", { class: "verdict" });
  const unjudged = h("p", { class: "note warn" });
  const tiles = fleetTiles();
  const lists = alertLists();
  const note = h("p", { class: "note" });
  panel.body.append(verdict, unjudged, tiles.node, lists.node, note);

  panel.poll(EVERY_MS, askFleet, ({ fleet, limits }) => {
    verdict.className = `verdict ${fleetJudged(fleet)}`;
    verdict.replaceChildren(...verdictParts(fleet, limits, vehicleLink));
    say(unjudged, unjudgedText(fleet.unjudgedCounts));
    unjudged.hidden = unjudged.textContent === "";
    tiles.show(fleet, limits);
    lists.show(fleet);
    note.textContent = noteText(fleet);
    note.classList.toggle("warn", isOld(fleet) || fleet.beingRedone);
  });
  return panel;
}

async function askFleet(signal) {
  const [limits, fleet] = await Promise.all([askLimits(signal), askAlerts(signal)]);
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

// Whether any alert is counted, of any kind; and how many vehicles were judged at all.
const hasAny = (counts) => Object.values(counts).some((found) => found > 0);
const judgedCount = ({ vehicleCount, unjudgedCounts: { noSession, noReadings, noEnergy } }) =>
  vehicleCount - noSession - noReadings - noEnergy;

// The fleet as good, warn or bad; empty when no vehicle was judged: no alert means nothing then. Only
// certain alerts make it bad. Nor is it good when its sums have an alert, because of vehicles that
// were not judged.
export function fleetJudged(fleet) {
  if (hasAny(fleet.certainAlertCounts)) return "bad";
  if (hasAny(fleet.alertCounts)) return "warn";
  return judgedCount(fleet) > 0 && fleet.alerts.length === 0 ? "good" : "";
}

// The fleet's ratio may be made of the AC side of one vehicle and the DC side of another.
export function fleetJudgement(fleet, limits) {
  return judgedCount(fleet) > 0 ? judgement(fleet, limits) : ["no vehicle can be judged", ""];
}

// What the tile of low vehicles shows: [value, note, judged, more].
export function lowShown(fleet) {
  const low = fleet.alertCounts.lowEfficiency;
  const certain = fleet.certainAlertCounts.lowEfficiency;
  const judged = judgedCount(fleet);
  const { noSession, noReadings, noEnergy } = fleet.unjudgedCounts;
  const others = [
    noReadings + noEnergy ? `${count(noReadings + noEnergy)} cannot be judged` : null,
    noSession ? `${count(noSession)} did not charge` : null,
  ];
  const more = others.filter((text) => text).join(", ");
  if (judged === 0) return ["–", "no vehicle can be judged", "", more];
  const sure = certain < low ? `, ${certain ? count(certain) : "none"} for certain` : "";
  return [count(low), `of ${count(judged)} judged${sure}`, lowJudged(low, certain), more];
}

function lowJudged(low, certain) {
  if (certain) return "bad";
  return low ? "warn" : "good";
}

// The fleet's verdict as texts and nodes; `link` makes the node of a vehicle's id. It is about the
// certain alerts where there is any, and else about the others.
export function verdictParts(fleet, limits, link) {
  const { vehicleCount, certainAlertCounts, metrics } = fleet;
  if (vehicleCount === 0) return ["No vehicle has reported or charged in the last 24 hours."];
  if (metrics.chargingSessions === 0) return ["No vehicle has charged in the last 24 hours."];
  const uncertain = uncertainAlertCounts(fleet);
  if (hasAny(certainAlertCounts)) {
    return [...certainParts(fleet, limits, link), uncertainText(uncertain, limits, " Uncertain: ")];
  }
  if (hasAny(uncertain)) {
    const none = " No alert is certain, since the figures behind them are not complete.";
    return [uncertainText(uncertain, limits, "▲ "), ...lowestParts(fleet, uncertain, link), none];
  }
  const judged = judgedCount(fleet);
  if (judged === 0) return ["Nothing can be said of the fleet yet."];
  const mark = fleetJudged(fleet) === "good" ? "✓ " : "";
  return [`${mark}None of ${plural(judged, "judged vehicle")} is ${underLimit(limits)}.`];
}

const underLimit = ({ lowEfficiency }) => `under ${limitPercent(lowEfficiency)}`;

function certainParts(fleet, limits, link) {
  const { vehicles, certainAlertCounts } = fleet;
  const under = underLimit(limits);
  if (certainAlertCounts.lowEfficiency === 0) {
    const counted = plural(certainAlertCounts.impossibleEfficiency, "vehicle");
    return [`✕ ${counted} delivered more than was drawn: check the meters.`];
  }
  const [worst] = vehicles;
  const ratio = worst.metrics.efficiencyRatio;
  const share = ratio < limits.lowEfficiency ? percent(ratio) : lowWords(ratio, limits);
  const low = certainAlertCounts.lowEfficiency;
  const counted = `${count(low)} of ${plural(judgedCount(fleet), "judged vehicle")}`;
  return [
    `✕ ${counted} ${low === 1 ? "is" : "are"} ${under}. The worst is `,
    link(worst.vehicleId),
    `: only ${share} of the energy drawn reached its battery. ` +
      `U${under.slice(1)} means a fault or a leak.`,
  ];
}

function lowestParts({ vehicles: [lowest] }, { lowEfficiency }, link) {
  if (lowEfficiency === 0) return [];
  return [
    " The lowest is ",
    link(lowest.vehicleId),
    `: ${percent(lowest.metrics.efficiencyRatio)}.`,
  ];
}

// How many vehicles have which alert, without being sure of it.
function uncertainText(counts, limits, before) {
  const { lowEfficiency: low, impossibleEfficiency: impossible, implausibleEnergy } = counts;
  const vehicles = (number) => plural(number, "vehicle");
  const found = [
    low ? `${vehicles(low)} may be ${underLimit(limits)}` : null,
    impossible ? `${vehicles(impossible)} may have delivered more than was drawn` : null,
    implausibleEnergy ? `${vehicles(implausibleEnergy)} with implausible readings` : null,
  ].filter((text) => text);
  return found.length ? `${before}${found.join(", ")}.` : "";
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

// How old the figures are, and what they rest on.
export function noteText(fleet) {
  const { period, asOf, coverage } = fleet;
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
  const start = clock(period.start, { seconds: false });
  const basis = coverageText(coverage);
  sentences.push(`Whole hours from ${start} on, as of ${clock(asOf)}; ${basis}.`);
  return sentences.join(" ");
}
