// The vehicles on a charger: how efficient each is here, and how efficient it is elsewhere.

import { kindOf } from "./charger_verdict.js";
import { coverageText } from "./coverage.js";
import { vehicleLink } from "./dom.js";
import { isCertain, isImpossible } from "./efficiency.js";
import { count, energy, percent, plural } from "./format.js";
import { Table } from "./table.js";

const SHOWN_AT_FIRST = 8;
const MEANINGS = {
  unjudged: "cannot be judged",
  fine: "fine here",
  here: "low here alone",
  everywhere: "low elsewhere, too",
  unknown: "low here, charged nowhere else",
};

// {node, show}. Links keep the `chosen` window.
export function chargerVehicles(chosen) {
  const known = { limits: null };
  const table = new Table(
    "The vehicles on this charger, here and elsewhere",
    columns(known, chosen),
    {
      key: ({ vehicleId }) => vehicleId,
      first: SHOWN_AT_FIRST,
      rowClass: ({ alerts }) => rowClass(alerts),
    },
  );
  const show = (vehicles, limits) => {
    known.limits = limits;
    table.node.hidden = vehicles.length === 0;
    table.show(vehicles);
  };
  return { node: table.node, show };
}

function rowClass(alerts) {
  if (alerts.length === 0) return "";
  return isCertain({ alerts }) ? "low" : "unsure";
}

// What the comparison says of a vehicle.
export function meaningText(vehicle, limits) {
  const meaning = isImpossible(vehicle) ? "more than was drawn" : MEANINGS[kindOf(vehicle, limits)];
  const [alert] = vehicle.alerts;
  return alert?.why ? `${meaning}, but uncertain: ${alert.why}` : meaning;
}

// How efficient a vehicle is at other chargers, and at how many.
export function elsewhereText({ elsewhere }) {
  const { efficiencyRatio = null, chargers = 0 } = elsewhere ?? {};
  return efficiencyRatio === null
    ? "nowhere else"
    : `${percent(efficiencyRatio)} at ${plural(chargers, "charger")}`;
}

const columns = (known, chosen) => [
  {
    title: "Vehicle",
    value: ({ vehicleId }) => vehicleId,
    render: ({ vehicleId }) => vehicleLink(vehicleId, chosen),
  },
  {
    title: "Here",
    className: "number ratio",
    value: ({ metrics }) => percent(metrics.efficiencyRatio),
  },
  { title: "Elsewhere", className: "number", value: elsewhereText },
  { title: "Which means", value: (vehicle) => meaningText(vehicle, known.limits) },
  {
    title: "AC kWh here",
    className: "number minor",
    value: ({ metrics }) => energy(metrics.totalEnergyConsumedAc),
  },
  {
    title: "Sessions",
    className: "number minor",
    value: ({ metrics }) => count(metrics.chargingSessions),
  },
  { title: "Rests on", className: "minor basis", value: ({ coverage }) => coverageText(coverage) },
];
