// The hours of a vehicle's day: a chart as wide as its place, and the same figures as a table.

import { chartPlace } from "./chart_place.js";
import { dayChart } from "./day_chart.js";
import { h } from "./dom.js";
import { isLowHour, withCertainty } from "./efficiency.js";
import { celsius, dayAndHour, energy, limitPercent, percent, plural } from "./format.js";
import { Table } from "./table.js";

const NOTHING = "No reading of it lies in this time: there is nothing to draw.";

// {node, show, stop}: `stop` ends the watch over the width.
export function vehicleHours() {
  const chart = chartPlace(dayChart);
  const legend = h("figcaption", { class: "legend" });
  let limits = null;
  const table = new Table("The vehicle's day by the hour", COLUMNS, {
    key: ({ hour }) => hour,
    rowClass: (hour) => rowClass(hour, limits),
  });
  const summary = h("summary", {}, "The chart as a table");
  const details = h("details", { class: "as-table" }, summary, table.node);
  const nothing = h("p", { class: "state" }, NOTHING);
  const figure = h("figure", {}, chart.node, legend);
  return {
    node: h("div", { class: "hours" }, figure, nothing, details),
    stop: chart.stop,
    // The hours of a vehicle's `figures`; `sessions` are drawn above them; `window` is {start, end}
    // in ms.
    show({ hourlyBreakdown, metrics, coverage }, sessions, window, knownLimits) {
      const hours = withCertainty(hourlyBreakdown, sessions, coverage);
      if (limits === null) legend.append(...legendItems(knownLimits));
      limits = knownLimits;
      figure.hidden = details.hidden = hours.length === 0;
      nothing.hidden = !figure.hidden;
      table.show(hours);
      const label = chartLabel(hours, metrics.chargingSessions, limits);
      chart.show({ hours, sessions, limits, label, ...window });
    },
  };
}

// Low hours stand out; those of which it is not certain less.
function rowClass(hour, limits) {
  if (!isLowHour(hour, limits)) return "";
  return hour.certain ? "low" : "unsure";
}

function legendItems({ lowEfficiency, impossibleEfficiency }) {
  const low = limitPercent(lowEfficiency);
  const impossible = limitPercent(impossibleEfficiency);
  const hidden = { "aria-hidden": "true" };
  const swatch = (name, text) =>
    h("span", {}, h("i", { class: `swatch ${name}`, ...hidden }), text);
  const sign = (name, text, words) =>
    h("span", {}, h("span", { class: name, ...hidden }, `${text} `), words);
  return [
    swatch("ac", "AC drawn from the mains"),
    swatch("dc", "DC delivered to the battery"),
    swatch("session", "charging session"),
    sign("too-low", "◆", `under ${low}, or over ${impossible}`),
    sign("fine", "●", "in between"),
    sign("unsure", "◇ ○", "the same, but uncertain"),
    sign("little", "◦", "hardly any energy"),
  ];
}

// What a screen reader says of the chart; `sessions` is how many there are.
export function chartLabel(hours, sessions, limits) {
  const low = hours.filter((hour) => isLowHour(hour, limits)).length;
  const charging = hours.filter(({ efficiency }) => efficiency !== null).length;
  const extent = `${plural(hours.length, "hour")} with ${plural(sessions, "session")}`;
  const under = `Under ${limitPercent(limits.lowEfficiency)}`;
  const unsure = hours.filter((hour) => isLowHour(hour, limits) && !hour.certain).length;
  const sure = unsure ? `, ${low - unsure || "none"} of them for certain` : "";
  return [
    `Chart of ${extent}: energy, efficiency and battery temperature by the hour.`,
    `${under} in ${low} of ${plural(charging, "charging hour")}${sure}.`,
    "The table below has the numbers.",
  ].join(" ");
}

const COLUMNS = [
  { title: "Hour", value: ({ hour }) => dayAndHour(hour) },
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
