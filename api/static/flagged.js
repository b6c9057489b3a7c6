// The fleet's efficiency over 24 hours, and the vehicles to look at: the worst first, and why.

import { h, vehicleLink } from "./dom.js";
import { ago, clock, count, coverageText, energy, isLow, judgement, kwh, LOW_EFFICIENCY, lowWords, percent, plural } from "./format.js";
import { ask, serverNow } from "./http.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";
import { Tile, tiles } from "./tiles.js";

const EVERY_MS = 15_000;
const SHOWN = 100;
const OLD_MS = 10 * 60_000;
const FLEET = "/v1/analytics/fleet";

// Both kinds of flagged vehicles come each by its own question: a fleet may have thousands.
async function question(signal) {
  const low = await ask(`${FLEET}?alert=low_efficiency&limit=${SHOWN}`, { signal });
  const fleet = low.body;
  if (fleet.alertCounts.impossibleEfficiency) {
    const odd = await ask(`${FLEET}?alert=impossible_efficiency&limit=${SHOWN}`, { signal });
    fleet.vehicles.push(...odd.body.vehicles);
  }
  return fleet;
}

export function flaggedPanel() {
  const panel = new Panel("Efficiency over 24 hours", {
    loading: "Adding up the last 24 hours …",
    className: "flagged",
  });
  const verdict = h("p", { class: "verdict" });
  const efficiency = new Tile("Fleet efficiency");
  const drawn = new Tile("AC drawn");
  const delivered = new Tile("DC delivered");
  const low = new Tile("Vehicles under 85 %");
  const table = new Table("Vehicles to look at, the worst first", COLUMNS, {
    key: (vehicle) => vehicle.vehicleId,
    first: 12,
    rowClass: (vehicle) => (isLow(vehicle) ? "low" : "odd"),
  });
  const note = h("p", { class: "note" });
  panel.body.append(verdict, tiles(efficiency, low, drawn, delivered), table.node, note);

  panel.poll(EVERY_MS, question, (fleet) => {
    const { metrics, coverage, alertCounts, vehicles } = fleet;
    verdict.className = `verdict ${vehicles.length ? "bad" : "good"}`;
    verdict.replaceChildren(...sentence(fleet));
    efficiency.show(percent(metrics.efficiencyRatio), ...judgement(fleet));
    drawn.show(kwh(metrics.totalEnergyConsumedAc), `in ${plural(metrics.chargingSessions, "session")}`);
    const outside = coverage.dcEnergyOutsideSessions;
    delivered.show(kwh(metrics.totalEnergyDeliveredDc), outside ? `and ${kwh(outside)} outside sessions` : "all of it in sessions");
    low.show(count(alertCounts.lowEfficiency), `of ${plural(fleet.vehicleCount, "vehicle")}`, alertCounts.lowEfficiency ? "bad" : "good");
    table.show(vehicles);
    table.node.hidden = vehicles.length === 0;
    note.textContent = remark(fleet);
    note.classList.toggle("warn", isOld(fleet));
  });
  return panel;
}

const reason = (one) => h("div", {}, why(one), h("div", { class: "detail" }, coverageText(one.coverage)));

const COLUMNS = [
  { title: "Vehicle", value: (one) => one.vehicleId, render: (one) => vehicleLink(one.vehicleId) },
  { title: "Efficiency", className: "number ratio", value: (one) => percent(one.metrics.efficiencyRatio) },
  { title: "Why it is flagged", className: "why", value: (one) => why(one) + coverageText(one.coverage), render: reason },
  { title: "AC kWh", className: "number minor", value: (one) => energy(one.metrics.totalEnergyConsumedAc) },
  { title: "DC kWh", className: "number minor", value: (one) => energy(one.metrics.totalEnergyDeliveredDc) },
];

// The API's own words, and what they come to in energy.
function why({ metrics, alerts }) {
  const lost = metrics.totalEnergyConsumedAc - metrics.totalEnergyDeliveredDc;
  const text = alerts.map((alert) => alert.message).join("; ");
  return lost > 0 ? `${text}: ${kwh(lost)} never reached the battery` : text;
}

function sentence({ vehicles, vehicleCount, alertCounts, metrics }) {
  if (vehicleCount === 0) return ["No vehicle has reported or charged in the last 24 hours."];
  if (metrics.chargingSessions === 0) return ["No vehicle has charged in the last 24 hours."];
  if (vehicles.length === 0) return ["✓ No vehicle is under 85 %."];
  if (alertCounts.lowEfficiency === 0)
    return [`✕ ${plural(vehicles.length, "vehicle")} delivered more than was drawn: check the meters.`];
  const [worst] = vehicles;
  const ratio = worst.metrics.efficiencyRatio;
  const share = ratio < LOW_EFFICIENCY ? percent(ratio) : lowWords(ratio);
  const counted = `${count(alertCounts.lowEfficiency)} of ${plural(vehicleCount, "vehicle")}`;
  return [
    `✕ ${counted} are under 85 %. The worst is `,
    vehicleLink(worst.vehicleId),
    `: only ${share} of the energy drawn reached its battery. Under 85 % means a fault or a leak.`,
  ];
}

const isOld = (fleet) => serverNow() - Date.parse(fleet.asOf) > OLD_MS;

function remark(fleet) {
  const { period, asOf, alertCounts, coverage, vehicles } = fleet;
  const all = alertCounts.lowEfficiency + alertCounts.impossibleEfficiency;
  const shown = all > vehicles.length ? `The worst ${vehicles.length} of ${count(all)} are shown. ` : "";
  const old = isOld(fleet) ? `The figures are old: what came in since ${clock(asOf)} (${ago(asOf)}) is not in them yet. ` : "";
  return `${old}${shown}Whole hours from ${clock(period.start, { seconds: false })} on, as of ${clock(asOf)}; ${coverageText(coverage)}.`;
}
