// The chart of a device's hours, or of its days where a window is long, its legend, and the same figures
// as a table.

import { chartPlace } from "./chart_place.js";
import { ALL_BANDS, dayChart } from "./day_chart.js";
import { h } from "./dom.js";
import { isLowHour } from "./efficiency.js";
import { limitPercent } from "./format.js";
import { Table } from "./table.js";

const NOTHING = "No reading of it lies in this time: there is nothing to draw.";

// {node, show, stop}: `stop` ends the watch over the width. `bands`, `partner` and `linkTo` are those
// of `dayChart`.
export function figuresChart(caption, columns, { bands = ALL_BANDS, partner, linkTo }) {
  const chart = chartPlace(dayChart);
  const legend = h("figcaption", { class: "legend" });
  let limits = null;
  const table = new Table(caption, columns, {
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
    // `shown` has {hours, sessions, label, start, end, slotMs}, as `dayChart` takes them.
    show(shown, knownLimits) {
      if (limits === null) legend.append(...legendItems(bands, knownLimits));
      limits = knownLimits;
      figure.hidden = details.hidden = shown.hours.length === 0;
      nothing.hidden = !figure.hidden;
      table.show(shown.hours);
      chart.show({ ...shown, limits, bands, partner, linkTo });
    },
  };
}

// Low hours stand out; those of which it is not certain less.
function rowClass(hour, limits) {
  if (!isLowHour(hour, limits)) return "";
  return hour.certain ? "low" : "unsure";
}

function legendItems(bands, { lowEfficiency, impossibleEfficiency }) {
  const low = limitPercent(lowEfficiency);
  const impossible = limitPercent(impossibleEfficiency);
  const hidden = { "aria-hidden": "true" };
  const swatch = (name, text) =>
    h("span", {}, h("i", { class: `swatch ${name}`, ...hidden }), text);
  const sign = (name, text, words) =>
    h("span", {}, h("span", { class: name, ...hidden }, `${text} `), words);
  const energies = [swatch("ac", "AC drawn from the mains"), swatch("session", "charging session")];
  if (!bands.includes("efficiency")) return energies;
  return [
    ...energies,
    swatch("dc", "DC delivered to the battery"),
    sign("too-low", "◆", `under ${low}, or over ${impossible}`),
    sign("fine", "●", "in between"),
    sign("unsure", "◇ ○", "the same, but uncertain"),
    sign("little", "◦", "hardly any energy"),
  ];
}
