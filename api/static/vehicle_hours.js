// The hours of a vehicle's window, or its days where it is long: as a chart and as a table.

import { chargerAddress } from "./address.js";
import { isLowHour, withCertainty } from "./efficiency.js";
import { figuresChart } from "./figures_chart.js";
import { celsius, dayAndHour, energy, limitPercent, percent, plural } from "./format.js";
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
    show({ hourlyBreakdown, metrics, coverage }, sessions, window, limits) {
      const slotMs = slotOf(window);
      const known = withCertainty(hourlyBreakdown, sessions, coverage);
      const hours = slotMs === DAY_MS ? daysOf(known) : known;
      const label = chartLabel(hours, metrics.chargingSessions, limits, slotMs);
      chart.show({ hours, sessions, label, slotMs, ...window }, limits);
    },
  };
}

// The days that hours of the API add up to. A day's temperature is the mean of its hours', and it is as
// certain as the least certain of them that has energy. A charger's hours have no DC side.
export function daysOf(hours) {
  const days = Map.groupBy(hours, ({ hour }) => isoDay(hour));
  return [...days].map(([day, those]) => {
    const energyAc = sum(those, "energyAc");
    const energyDc = those[0].energyDc === undefined ? null : sum(those, "energyDc");
    const warm = those.filter(({ avgTemp }) => (avgTemp ?? null) !== null);
    return {
      hour: `${day}T00:00:00Z`,
      day,
      energyAc,
      energyDc,
      efficiency: energyAc > 0 && energyDc !== null ? energyDc / energyAc : null,
      avgTemp: warm.length ? sum(warm, "avgTemp") / warm.length : null,
      readings: sum(those, "readings"),
      certain: those.every((hour) => hour.certain || hour.energyAc + hour.energyDc === 0),
    };
  });
}

const sum = (items, name) => items.reduce((all, item) => all + (item[name] ?? 0), 0);

// What a screen reader says of the chart; `sessions` is how many there are, `shown` what is drawn.
export function chartLabel(hours, sessions, limits, slotMs = HOUR_MS) {
  const slot = slotMs === DAY_MS ? "day" : "hour";
  const low = hours.filter((hour) => isLowHour(hour, limits)).length;
  const charging = hours.filter(({ efficiency }) => efficiency !== null).length;
  const extent = `${plural(hours.length, slot)} with ${plural(sessions, "session")}`;
  const under = `Under ${limitPercent(limits.lowEfficiency)}`;
  const unsure = hours.filter((hour) => isLowHour(hour, limits) && !hour.certain).length;
  const sure = unsure ? `, ${low - unsure || "none"} of them for certain` : "";
  return [
    `Chart of ${extent}: energy, efficiency and battery temperature by the ${slot}.`,
    `${under} in ${low} of ${plural(charging, `charging ${slot}`)}${sure}.`,
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
    value: ({ efficiency, certain }) =>
      percent(efficiency) + (certain || efficiency === null ? "" : ", uncertain"),
  },
  { title: "Temperature", className: "number", value: ({ avgTemp }) => celsius(avgTemp) },
];
