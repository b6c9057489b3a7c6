// The vehicles of the fleet with an alert, in two lists: the alerts of the first are certain. Those
// of the second are not, because the figures they are made of are not complete.

import { coverageText } from "./coverage.js";
import { h, say, vehicleLink } from "./dom.js";
import { isCertain, isLow } from "./efficiency.js";
import { count, energy, kwh, percent, plural } from "./format.js";
import { ask } from "./http.js";
import { Table } from "./table.js";

const VEHICLES_ASKED = 100;
const SHOWN_AT_FIRST = 12;
const FLEET = "/v1/analytics/fleet";
const COUNTED_AS = {
  low_efficiency: "lowEfficiency",
  impossible_efficiency: "impossibleEfficiency",
  implausible_energy: "implausibleEnergy",
};

// The fleet with its `vehicles` that have an alert, each once. Each alert is asked for apart, certain
// or not, because a fleet may have thousands of vehicles with another one. Throws ApiError.
export async function askAlerts(signal) {
  const vehiclesWith = async (alert, certain) => {
    const query = `alert=${alert}&certain=${certain}&limit=${VEHICLES_ASKED}`;
    return (await ask(`${FLEET}?${query}`, { signal })).body;
  };
  const fleet = await vehiclesWith("low_efficiency", true);
  const further = await Promise.all(
    furtherAlerts(fleet).map(([alert, certain]) => vehiclesWith(alert, certain)),
  );
  const all = [fleet, ...further].flatMap(({ vehicles }) => vehicles);
  return { ...fleet, vehicles: [...new Map(all.map((one) => [one.vehicleId, one])).values()] };
}

// What else to ask for: [alert, certain], where there is any.
export function furtherAlerts({ alertCounts, certainAlertCounts }) {
  const pairs = Object.entries(COUNTED_AS).flatMap(([alert, name]) => [
    [alert, true, certainAlertCounts[name]],
    [alert, false, alertCounts[name] - certainAlertCounts[name]],
  ]);
  return pairs
    .filter(([alert, certain, found]) => found > 0 && !(certain && alert === "low_efficiency"))
    .map(([alert, certain]) => [alert, certain]);
}

// How many alerts of which kind are not certain.
export const uncertainAlertCounts = ({ alertCounts, certainAlertCounts }) =>
  Object.fromEntries(
    Object.entries(alertCounts).map(([name, all]) => [name, all - certainAlertCounts[name]]),
  );

// The two lists: {vehicles, all, isCut}. `all` is how many vehicles there are, listed or not, and null
// when nobody knows: one with a wrong efficiency may have implausible energy, too.
export function alertGroups(fleet) {
  const group = (certain, counts) => {
    const vehicles = fleet.vehicles.filter((vehicle) => isCertain(vehicle) === certain);
    const isCut = Object.values(counts).some((found) => found > VEHICLES_ASKED);
    const judged = counts.lowEfficiency + counts.impossibleEfficiency;
    const whole = counts.implausibleEnergy ? null : judged;
    return { vehicles, isCut, all: isCut ? whole : vehicles.length };
  };
  return [group(true, fleet.certainAlertCounts), group(false, uncertainAlertCounts(fleet))];
}

// {node, show}: both lists, each under its heading; one without a vehicle is hidden.
export function alertLists() {
  const lists = [alertList("Certain", "low"), alertList("Uncertain", "unsure")];
  return {
    node: h(
      "div",
      {},
      lists.map(({ node }) => node),
    ),
    show(fleet) {
      alertGroups(fleet).forEach((group, place) => {
        lists[place].show(group);
      });
    },
  };
}

function alertList(name, lowClass) {
  const heading = h("h3", {});
  const table = new Table(`${name}: vehicles to look at, the worst first`, COLUMNS, {
    key: ({ vehicleId }) => vehicleId,
    first: SHOWN_AT_FIRST,
    rowClass: (vehicle) => rowClass(vehicle, lowClass),
  });
  const note = h("p", { class: "note" });
  const node = h("section", { class: "alerts" }, heading, table.node, note);
  const show = (group) => {
    node.hidden = group.vehicles.length === 0;
    say(heading, headingText(name, group));
    table.show(group.vehicles, group.all);
    say(note, cutText(group));
  };
  return { node, show };
}

const rowClass = (vehicle, lowClass) => (isLow(vehicle) || !isCertain(vehicle) ? lowClass : "odd");

export function headingText(name, { vehicles, all }) {
  return `${name}: ${all === null ? "at least " : ""}${plural(all ?? vehicles.length, "vehicle")}`;
}

// That a list was cut.
export function cutText({ vehicles, all, isCut }) {
  if (!isCut) return "";
  const shown = `The worst ${count(vehicles.length)}`;
  return all === null ? `${shown} are listed.` : `${shown} of ${count(all)} are listed.`;
}

// The API's own words, and the energy they stand for or why they are not certain.
export function alertText({ metrics, alerts }) {
  const text = alerts.map((alert) => alert.message).join("; ");
  const [{ why }] = alerts;
  if (why) return `${text}. Uncertain: ${why}`;
  const lost = metrics.totalEnergyConsumedAc - metrics.totalEnergyDeliveredDc;
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
