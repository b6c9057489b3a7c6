// The chart of efficiency and energy day by day. Days without a figure stay empty, and those of which
// it is not certain are hollow and pale. The table below it has the same numbers.

import {
  bandFrame,
  bandLimits,
  bottomOf,
  efficiencyMark,
  LEFT,
  line,
  lowZone,
  NARROW,
  RIGHT,
  text,
  valueLines,
} from "./chart_parts.js";
import { efficiencyRange, timeScale, valueScale } from "./chart_scales.js";
import { svg } from "./dom.js";
import { isFlagged } from "./efficiency.js";
import { count, kwh, percent } from "./format.js";
import { DAY_MS, isoDay } from "./time_window.js";

const BANDS = {
  efficiency: { top: 24, height: 120 },
  energy: { top: 172, height: 60 },
};
const HEIGHT = 258;
const PLOT_TOP = 16;
const LABEL_PX = 56; // A day's name and the space around it.

// An SVG element. `days` are of the API: {start, metrics, coverage, alerts}, in order; `start` and
// `end` are in ms, `width` is in pixels, `label` is for screen readers.
export function daysChart({ days, limits, start, end, width, label }) {
  const scale = timeScale({ start, end, left: LEFT, right: width - RIGHT, slotMs: DAY_MS });
  const points = days.map((day) => {
    const time = Date.parse(day.start);
    const x = scale.at(time);
    return { ...day, time, x, middle: x + scale.step / 2 };
  });
  const frame = { ...scale, width, points, limits };
  const viewBox = `0 0 ${width} ${HEIGHT}`;
  return svg(
    "svg",
    { class: "day", role: "img", "aria-label": label, viewBox, width, height: HEIGHT },
    timeAxis(frame),
    efficiencyBand(frame),
    energyBand(frame),
    points.map((day) => tooltip(frame, day)),
  );
}

// How many days there are between two that are named: a week, or less where there is room.
export const daysBetweenNames = (step) => [1, 2, 3].find((n) => n * step >= LABEL_PX) ?? 7;

function timeAxis({ first, slots, step, width }) {
  const every = width < NARROW ? 7 : daysBetweenNames(step);
  const marks = Array.from({ length: slots }, (_, slot) => slot)
    .filter((slot) => (slots - 1 - slot) % every === 0)
    .map((slot) => {
      const x = LEFT + (slot + 0.5) * step;
      const name = isoDay(first + slot * DAY_MS).slice("2026-".length);
      return [line(x, PLOT_TOP, x, HEIGHT - 20, "grid"), text(x, HEIGHT - 5, "tick middle", name)];
    });
  return svg("g", {}, marks);
}

export const hasRatio = ({ metrics, coverage }) =>
  metrics.efficiencyRatio !== null && coverage.quality !== "none";
export const isComplete = ({ coverage }) => coverage.quality === "complete";

// How a day's efficiency is marked.
export function dayMark(day) {
  const name = isFlagged(day) ? "too-low" : "fine";
  return isComplete(day) ? name : `${name} unsure`;
}

function efficiencyBand({ points, width, limits }) {
  const band = BANDS.efficiency;
  const known = points.filter(hasRatio);
  const ratio = ({ metrics }) => metrics.efficiencyRatio;
  const range = efficiencyRange(known.map(ratio));
  const y = valueScale({ ...band, ...range });
  return svg(
    "g",
    {},
    bandFrame(band, "Efficiency of each day", width),
    lowZone(band, y, width, limits),
    bandLimits(band, `${Math.round(range.most * 100)} %`, `${Math.round(range.least * 100)} %`),
    valueLines(known, (day) => y(ratio(day)), "efficiency", DAY_MS),
    known.map((day) => efficiencyMark(day.middle, y(ratio(day)), dayMark(day))),
  );
}

function energyBand({ points, step, width }) {
  const band = BANDS.energy;
  const energies = ({ metrics }) => [
    [0.12, metrics.totalEnergyConsumedAc, "ac"],
    [0.52, metrics.totalEnergyDeliveredDc, "dc"],
  ];
  const most = Math.max(1, ...points.flatMap(energies).map(([, energy]) => energy));
  const bar = (day, [share, energy, name]) => {
    const height = (band.height * energy) / most;
    const place = { x: day.x + step * share, y: bottomOf(band) - height, width: step * 0.36 };
    return svg("rect", { ...place, height, class: isComplete(day) ? name : `${name} pale` });
  };
  return svg(
    "g",
    {},
    bandFrame(band, "Energy of each day, kWh", width),
    bandLimits(band, count(most), "0"),
    points.map((day) => energies(day).map((energy) => bar(day, energy))),
  );
}

function tooltip({ step }, day) {
  const { totalEnergyConsumedAc: ac, totalEnergyDeliveredDc: dc, efficiencyRatio } = day.metrics;
  const sure = isComplete(day) ? "" : " (uncertain)";
  const words = `efficiency ${percent(efficiencyRatio)}${sure}, AC ${kwh(ac)}, DC ${kwh(dc)}`;
  const area = { x: day.x, y: PLOT_TOP, width: step, height: HEIGHT - 20 - PLOT_TOP };
  return svg("rect", { ...area, class: "hour" }, svg("title", {}, `${isoDay(day.time)}: ${words}`));
}
