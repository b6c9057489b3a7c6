// The hours of a charger's window, or its days where it is long: what it drew, and the sessions on it.

import { vehicleAddress } from "./address.js";
import { figuresChart } from "./figures_chart.js";
import { count, energy, plural } from "./format.js";
import { DAY_MS, slotOf } from "./time_window.js";
import { daysOf, timeColumn } from "./vehicle_hours.js";

const BANDS = ["sessions", "energy"];

// {node, show, stop}: `stop` ends the watch over the width. Links keep the `chosen` window.
export function chargerHours(chosen) {
  const linkTo = ({ vehicleId }) => vehicleAddress(vehicleId, chosen);
  const how = { bands: BANDS, partner: "vehicleId", linkTo };
  const chart = figuresChart("The charger's window by time", [timeColumn, ...FIGURES], how);
  return {
    ...chart,
    show({ hourlyBreakdown, sessions }, window, limits) {
      const slotMs = slotOf(window);
      const byDay = slotMs === DAY_MS;
      const hours = byDay ? daysOf(hourlyBreakdown) : hourlyBreakdown.map(asHour);
      const slot = byDay ? "day" : "hour";
      const extent = `${plural(hours.length, slot)} with ${plural(sessions.length, "session")}`;
      const label = `Chart of ${extent}: energy drawn by the ${slot}. The table below has the numbers.`;
      chart.show({ hours, sessions, label, slotMs, ...window }, limits);
    },
  };
}

// An hour of the API as the chart takes it: a charger's own readings have no DC side.
const asHour = (hour) => ({ ...hour, energyDc: null, efficiency: null, avgTemp: null });

const FIGURES = [
  { title: "AC kWh", className: "number", value: ({ energyAc }) => energy(energyAc) },
  { title: "Readings", className: "number", value: ({ readings }) => count(readings) },
];
