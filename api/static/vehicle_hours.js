// The hours of a vehicle's day: a chart as wide as its place, and the same figures as a table.

import { dayChart } from "./day_chart.js";
import { h } from "./dom.js";
import { isLowHour } from "./efficiency.js";
import { celsius, dayAndHour, energy, limitPercent, percent, plural } from "./format.js";
import { Table } from "./table.js";

const NARROWEST_PX = 280;
const NOTHING = "No reading of it lies in this time: there is nothing to draw.";

// {node, show, stop}: `stop` ends the watch over the width.
export function vehicleHours() {
  const place = h("div", { class: "chart" });
  const legend = h("figcaption", { class: "legend" });
  let limits = null;
  const table = new Table("The vehicle's day by the hour", COLUMNS, {
    key: ({ hour }) => hour,
    rowClass: (hour) => (isLowHour(hour, limits) ? "low" : ""),
  });
  const summary = h("summary", {}, "The chart as a table");
  const details = h("details", { class: "as-table" }, summary, table.node);
  const nothing = h("p", { class: "state" }, NOTHING);
  const figure = h("figure", {}, place, legend);
  let shown = null;

  const draw = () => {
    if (shown === null || place.clientWidth === 0) return;
    const width = Math.max(NARROWEST_PX, Math.floor(place.clientWidth));
    place.replaceChildren(dayChart({ ...shown, width }));
  };
  const watcher = new ResizeObserver(draw);
  watcher.observe(place);

  return {
    node: h("div", { class: "hours" }, figure, nothing, details),
    stop: () => watcher.disconnect(),
    // The hours of a vehicle's `figures`; `sessions` are drawn above them; `window` is {start, end}
    // in ms.
    show({ hourlyBreakdown: hours, metrics }, sessions, window, knownLimits) {
      if (limits === null) legend.append(...legendItems(knownLimits));
      limits = knownLimits;
      figure.hidden = details.hidden = hours.length === 0;
      nothing.hidden = !figure.hidden;
      table.show(hours);
      const label = chartLabel(hours, metrics.chargingSessions, limits);
      shown = { hours, sessions, limits, label, ...window };
      draw();
    },
  };
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
    sign("little", "○", "hardly any energy"),
  ];
}

// What a screen reader says of the chart; `sessions` is how many there are.
export function chartLabel(hours, sessions, limits) {
  const low = hours.filter((hour) => isLowHour(hour, limits)).length;
  const charging = hours.filter(({ efficiency }) => efficiency !== null).length;
  const extent = `${plural(hours.length, "hour")} with ${plural(sessions, "session")}`;
  const under = `Under ${limitPercent(limits.lowEfficiency)}`;
  return [
    `Chart of ${extent}: energy, efficiency and battery temperature by the hour.`,
    `${under} in ${low} of ${plural(charging, "charging hour")}.`,
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
    value: ({ efficiency }) => percent(efficiency),
  },
  { title: "Temperature", className: "number", value: ({ avgTemp }) => celsius(avgTemp) },
];
