// The hours of a vehicle's window, or its days where it is long: as a chart and as a table.

import { chargerAddress } from "./address.js";
import { isLowHour } from "./efficiency.js";
import { figuresChart } from "./figures_chart.js";
import { celsius, dayAndHour, energy, limitPercent, percent, plural } from "./format.js";
import { DAY_MS, HOUR_MS, isoDay, slotOf } from "./time_window.js";

const SHOWN = "energy, efficiency and battery temperature";

// {node, show, stop}: `stop` ends the watch over the width. Links keep the `chosen` window.
export function vehicleHours(chosen) {
  const linkTo = ({ meterId }) => chargerAddress(meterId, chosen);
  const columns = [timeColumn, ...FIGURES];
  const chart = figuresChart("The vehicle's window by time", columns, {
    partner: "meterId",
    linkTo,
  });
  return {
    ...chart,
    // The hours of a vehicle's `figures`; `sessions` are drawn above them; `window` is {start, end}
    // in ms.
    show({ hourlyBreakdown, metrics }, sessions, window, limits) {
      const slotMs = slotOf(window);
      const hours = slotMs === DAY_MS ? daysOf(hourlyBreakdown) : hourlyBreakdown;
      const label = chartLabel(hours, metrics.chargingSessions, limits, slotMs);
      chart.show({ hours, sessions, label, slotMs, ...window }, limits);
    },
  };
}

// The days that hours of the API add up to. A day's temperature is the mean of its hours'.
export function daysOf(hours) {
  const days = Map.groupBy(hours, ({ hour }) => isoDay(hour));
  return [...days].map(([day, those]) => {
    const [energyAc, energyDc] = [sum(those, "energyAc"), sum(those, "energyDc")];
    const warm = those.filter(({ avgTemp }) => (avgTemp ?? null) !== null);
    return {
      hour: `${day}T00:00:00Z`,
      day,
      energyAc,
      energyDc: those[0].energyDc === undefined ? null : energyDc,
      efficiency: energyAc > 0 ? energyDc / energyAc : null,
      avgTemp: warm.length ? sum(warm, "avgTemp") / warm.length : null,
      readings: sum(those, "readings"),
    };
  });
}

const sum = (items, name) => items.reduce((all, item) => all + (item[name] ?? 0), 0);

// What a screen reader says of the chart; `sessions` is how many there are, `shown` what is drawn.
export function chartLabel(hours, sessions, limits, slotMs = HOUR_MS, shown = SHOWN) {
  const slot = slotMs === DAY_MS ? "day" : "hour";
  const low = hours.filter((hour) => isLowHour(hour, limits)).length;
  const charging = hours.filter(({ efficiency }) => efficiency !== null).length;
  const extent = `${plural(hours.length, slot)} with ${plural(sessions, "session")}`;
  const under = `Under ${limitPercent(limits.lowEfficiency)}`;
  return [
    `Chart of ${extent}: ${shown} by the ${slot}.`,
    `${under} in ${low} of ${plural(charging, `charging ${slot}`)}.`,
    "The table below has the numbers.",
  ].join(" ");
}

export const timeColumn = {
  title: "Time",
  value: ({ hour, day }) => day ?? dayAndHour(hour),
};

const FIGURES = [
  { title: "AC kWh", className: "number", value: ({ energyAc }) => energy(energyAc) },
  { title: "DC kWh", className: "number", value: ({ energyDc }) => energy(energyDc) },
  {
    title: "Efficiency",
    className: "number ratio",
    value: ({ efficiency }) => percent(efficiency),
  },
  { title: "Temperature", className: "number", value: ({ avgTemp }) => celsius(avgTemp) },
];
