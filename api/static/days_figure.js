// Days of the API with their efficiency and energy, as a chart and as a table: those of the fleet, or of
// a charger.

import { chartPlace } from "./chart_place.js";
import { coverageText } from "./coverage.js";
import { daysChart, hasRatio, isComplete } from "./days_chart.js";
import { h } from "./dom.js";
import { isFlagged } from "./efficiency.js";
import { energy, limitPercent, percent, plural } from "./format.js";
import { Table } from "./table.js";
import { isoDay } from "./time_window.js";

// {node, show, stop}: `stop` ends the watch over the width.
export function daysFigure(caption) {
  const chart = chartPlace(daysChart);
  const legend = h("figcaption", { class: "legend" });
  const table = new Table(caption, COLUMNS, { key: ({ start }) => start, rowClass });
  const summary = h("summary", {}, "The days as a table");
  const details = h("details", { class: "as-table" }, summary, table.node);
  const node = h("div", { class: "days-chart" }, h("figure", {}, chart.node, legend), details);
  // `words` say what the days mean; `start` and `end` are in ms.
  const show = ({ days, limits, words, start, end }) => {
    legend.replaceChildren(...legendItems(limits));
    const label = `Chart of ${plural(days.length, "day")}: efficiency and energy. ${words}`;
    chart.show({ days, limits, label, start, end });
    table.show([...days].reverse());
  };
  return { node, show, stop: chart.stop };
}

// Certain faults stand out, uncertain ones less.
function rowClass(day) {
  if (!(hasRatio(day) && isFlagged(day))) return "";
  return isComplete(day) ? "low" : "unsure";
}

function legendItems({ lowEfficiency, impossibleEfficiency }) {
  const limits = [limitPercent(lowEfficiency), limitPercent(impossibleEfficiency)];
  const sign = (name, text, words) =>
    h("span", {}, h("span", { class: name, "aria-hidden": "true" }, `${text} `), words);
  return [
    sign("too-low", "◆", `under ${limits[0]}, or over ${limits[1]}`),
    sign("fine", "●", "in between"),
    sign("unsure", "◇ ○", "the same, but uncertain"),
    sign("swatch ac", "", "AC drawn"),
    sign("swatch dc", "", "DC delivered"),
  ];
}

const COLUMNS = [
  { title: "Day", value: ({ start }) => isoDay(start) },
  {
    title: "Efficiency",
    className: "number ratio",
    value: ({ metrics }) => percent(metrics.efficiencyRatio),
  },
  {
    title: "AC kWh",
    className: "number",
    value: ({ metrics }) => energy(metrics.totalEnergyConsumedAc),
  },
  {
    title: "DC kWh",
    className: "number",
    value: ({ metrics }) => energy(metrics.totalEnergyDeliveredDc),
  },
  { title: "Rests on", className: "minor basis", value: ({ coverage }) => coverageText(coverage) },
];
