// The hours of a vehicle's window, or its days where it is long: as a chart and as a table.

import { chargerAddress } from "./address.js";
import { isLowHour, ratioText, withCertainty } from "./efficiency.js";
import { figuresChart } from "./figures_chart.js";
import { celsius, dayAndHour, energy, limitPercent, plural } from "./format.js";
import { DAY_MS, HOUR_MS, isoDay, slotOf } from "./time_window.js";

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
    show(figures, sessions, window, limits) {
      const slotMs = slotOf(window);
      const { hourlyBreakdown, metrics } = figures;
      const known = withCertainty(hourlyBreakdown, sessions, figures);
      const hours = slotMs === DAY_MS ? daysOf(known) : known;
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
      certain: those.every((hour) => hour.certain !== false || hour.efficiency === null),
    };
  });
}

const sum = (items, name) => items.reduce((all, item) => all + (item[name] ?? 0), 0);

// What a screen reader says of the chart; `sessions` is how many there are.
export function chartLabel(hours, sessions, limits, slotMs = HOUR_MS) {
  const slot = slotMs === DAY_MS ? "day" : "hour";
  const low = hours.filter((hour) => isLowHour(hour, limits));
  const certain = low.filter((hour) => hour.certain !== false).length;
  const sure = certain < low.length ? `, ${certain || "none"} of them for certain` : "";
  const charging = hours.filter(({ efficiency }) => efficiency !== null).length;
  const extent = `${plural(hours.length, slot)} with ${plural(sessions, "session")}`;
  const under = `Under ${limitPercent(limits.lowEfficiency)}`;
  return [
    `Chart of ${extent}: energy, efficiency and battery temperature by the ${slot}.`,
    `${under} in ${low.length} of ${plural(charging, `charging ${slot}`)}${sure}.`,
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
    value: ratioText,
  },
  { title: "Temperature", className: "number", value: ({ avgTemp }) => celsius(avgTemp) },
];
