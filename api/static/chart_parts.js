// What charts are drawn of: bands with their names and limits, lines through runs, and the marks of an
// efficiency on its band, on which the zone under the limit stands out.

import { consecutiveRuns } from "./chart_scales.js";
import { svg } from "./dom.js";
import { limitPercent } from "./format.js";
import { HOUR_MS } from "./time_window.js";

export const LEFT = 52;
export const RIGHT = 20;
export const NARROW = 520; // Charts that are less wide have fewer marks, in pixels.

export const text = (x, y, className, words) => svg("text", { x, y, class: className }, words);
export const line = (x1, y1, x2, y2, className) =>
  svg("line", { x1, y1, x2, y2, class: className });
export const bottomOf = ({ top, height }) => top + height;

// A band's name above it, and the line it stands on.
export function bandFrame(band, name, width) {
  const bottom = bottomOf(band);
  return [
    text(LEFT, band.top - 8, "band", name),
    line(LEFT, bottom, width - RIGHT, bottom, "base"),
  ];
}

// The values at the top and at the bottom of a band.
export function bandLimits(band, most, least) {
  return [
    text(LEFT - 6, band.top + 5, "tick end", most),
    text(LEFT - 6, bottomOf(band), "tick end", least),
  ];
}

// The part of the efficiency's band under the limit; `y` is that of a ratio.
export function lowZone(band, y, width, { lowEfficiency }) {
  const low = y(lowEfficiency);
  const height = bottomOf(band) - low;
  const zone = { x: LEFT, y: low, width: width - LEFT - RIGHT, height, class: "low-zone" };
  return [
    svg("rect", zone),
    line(LEFT, low, width - RIGHT, low, "limit"),
    text(LEFT - 6, low + 4, "tick end limit-name", limitPercent(lowEfficiency)),
  ];
}

// `name`: too-low, fine or little; the first two may be followed by " unsure".
export function efficiencyMark(x, y, name) {
  if (name.startsWith("too-low")) {
    return svg("path", { d: `M${x} ${y - 6}l6 6-6 6-6-6z`, class: name });
  }
  return svg("circle", { cx: x, cy: y, r: name === "fine" ? 4.5 : 3.5, class: name });
}

// A line through each run of points without a gap; `y` is that of a point, at its `middle`.
export function valueLines(points, y, className, slotMs = HOUR_MS) {
  return consecutiveRuns(points, slotMs).map((run) => {
    const places = run.map((point) => `${point.middle.toFixed(1)},${y(point).toFixed(1)}`);
    return svg("polyline", { points: places.join(" "), class: className });
  });
}
