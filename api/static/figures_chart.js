// A chart over time as wide as its place, its legend, and the same figures as a table: of hours, or of
// days where a window is long.

import { ALL_BANDS, dayChart } from "./day_chart.js";
import { h } from "./dom.js";
import { isLowHour } from "./efficiency.js";
import { limitPercent } from "./format.js";
import { Table } from "./table.js";

const NARROWEST_PX = 280;
const FONT_PX = 16; // At this size of the page's text a unit of the chart is a pixel.
const NOTHING = "No reading of it lies in this time: there is nothing to draw.";

// {node, show, stop}: `stop` ends the watch over the width. `bands`, `partner` and `linkTo` are those
// of `dayChart`.
export function figuresChart(caption, columns, { bands = ALL_BANDS, partner, linkTo } = {}) {
  const place = h("div", { class: "chart" });
  const legend = h("figcaption", { class: "legend" });
  let limits = null;
  const table = new Table(caption, columns, {
    key: ({ hour }) => hour,
    rowClass: (hour) => (bands.includes("efficiency") ? rowClass(hour, limits) : ""),
  });
  const summary = h("summary", {}, "The chart as a table");
  const details = h("details", { class: "as-table" }, summary, table.node);
  const nothing = h("p", { class: "state" }, NOTHING);
  const figure = h("figure", {}, place, legend);
  let shown = null;

  const draw = () => {
    if (shown === null || place.clientWidth === 0) return;
    const zoom = Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / FONT_PX;
    const width = Math.max(NARROWEST_PX, Math.floor(place.clientWidth / zoom));
    place.replaceChildren(dayChart({ ...shown, bands, partner, linkTo, width, zoom }));
  };
  const watcher = new ResizeObserver(draw);
  watcher.observe(place);

  return {
    node: h("div", { class: "hours" }, figure, nothing, details),
    stop: () => watcher.disconnect(),
    // `chart` has {hours, sessions, label, start, end, slotMs}, as `dayChart` takes them.
    show(chart, knownLimits) {
      if (limits === null) legend.append(...legendItems(bands, knownLimits));
      limits = knownLimits;
      figure.hidden = details.hidden = chart.hours.length === 0;
      nothing.hidden = !figure.hidden;
      table.show(chart.hours);
      shown = { sessions: [], ...chart, limits };
      draw();
    },
  };
}

// Low hours stand out; those of which it is not certain less.
function rowClass(hour, limits) {
  if (!isLowHour(hour, limits)) return "";
  return hour.certain === false ? "unsure" : "low";
}

function legendItems(bands, { lowEfficiency, impossibleEfficiency }) {
  const low = limitPercent(lowEfficiency);
  const impossible = limitPercent(impossibleEfficiency);
  const hidden = { "aria-hidden": "true" };
  const swatch = (name, text) =>
    h("span", {}, h("i", { class: `swatch ${name}`, ...hidden }), text);
  const sign = (name, text, words) =>
    h("span", {}, h("span", { class: name, ...hidden }, `${text} `), words);
  const hasRatio = bands.includes("efficiency");
  return [
    swatch("ac", "AC drawn from the mains"),
    hasRatio && swatch("dc", "DC delivered to the battery"),
    bands.includes("sessions") && swatch("session", "charging session"),
    hasRatio && sign("too-low", "◆", `under ${low}, or over ${impossible}`),
    hasRatio && sign("fine", "●", "in between"),
    hasRatio && sign("unsure", "◇ ○", "the same, but uncertain"),
    hasRatio && sign("little", "◦", "hardly any energy"),
  ].filter((item) => item);
}
