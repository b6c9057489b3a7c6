// The chart of a vehicle's day: its sessions, AC beside DC energy, efficiency and temperature, hour
// by hour on one time axis. The table below it has the same numbers.

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
import {
  efficiencyRange,
  highestEnergy,
  hourMarks,
  temperatureRange,
  timeScale,
  valueScale,
} from "./chart_scales.js";
import { svg } from "./dom.js";
import { isImpossibleHour, isLowHour } from "./efficiency.js";
import { celsius, clock, kwh, percent } from "./format.js";

const BANDS = {
  sessions: { top: 20, height: 20 },
  energy: { top: 66, height: 120 },
  efficiency: { top: 216, height: 96 },
  temperature: { top: 342, height: 56 },
};
const HEIGHT = 424;
const PLOT_TOP = 16;
const LETTER_WIDTH = 8;
const LITTLE_SHARE = 0.1; // A ratio of less than this share of the highest energy says little.

// An SVG element. `start` and `end` are in ms, `width` is in pixels, `label` is for screen readers.
export function dayChart({ hours, sessions, limits, start, end, width, label }) {
  const scale = timeScale({ start, end, left: LEFT, right: width - RIGHT });
  const points = hours.map((hour) => {
    const time = Date.parse(hour.hour);
    const x = scale.at(time);
    return { ...hour, time, x, middle: x + scale.step / 2 };
  });
  const frame = { ...scale, width, points, limits };
  const viewBox = `0 0 ${width} ${HEIGHT}`;
  return svg(
    "svg",
    { class: "day", role: "img", "aria-label": label, viewBox, width, height: HEIGHT },
    timeAxis(frame),
    sessionStrip(frame, sessions),
    energyBars(frame),
    efficiencyLine(frame),
    temperatureLine(frame),
    points.map((hour) => tooltip(frame, hour)),
  );
}

function timeAxis({ first, slots, step, width }) {
  const marks = hourMarks({ first, slots }, width < NARROW ? 6 : 3).map(({ slot, hour }) => {
    const x = LEFT + slot * step;
    const name = `${String(hour).padStart(2, "0")}:00`;
    return [
      line(x, PLOT_TOP, x, HEIGHT - 20, hour ? "grid" : "midnight"),
      text(x, HEIGHT - 5, "tick middle", name),
    ];
  });
  return svg("g", {}, marks);
}

function sessionStrip({ at, width }, sessions) {
  const band = BANDS.sessions;
  const bars = sessions.map(({ startedAt, endedAt, meterId }) => {
    const from = at(Date.parse(startedAt));
    const until = endedAt === null ? width - RIGHT : at(Date.parse(endedAt));
    const wide = Math.max(2, until - from);
    const bar = { x: from, y: band.top, width: wide, height: band.height, rx: 3, class: "session" };
    const fits = wide > LETTER_WIDTH * meterId.length;
    const name = fits ? text(from + wide / 2, band.top + 14, "in-session middle", meterId) : null;
    return [svg("rect", bar), name];
  });
  return svg("g", {}, bandFrame(band, "Sessions, at charger", width), bars);
}

function energyBars({ points, step, width }) {
  const band = BANDS.energy;
  const most = highestEnergy(points);
  const bar = (x, value, className) => {
    const height = (band.height * value) / most;
    const y = bottomOf(band) - height;
    return svg("rect", { x, y, width: step * 0.36, height, class: className });
  };
  return svg(
    "g",
    {},
    bandFrame(band, "Energy of each hour, kWh", width),
    bandLimits(band, most.toFixed(most < 10 ? 1 : 0), "0"),
    points.map(({ x, energyAc, energyDc }) => [
      bar(x + step * 0.12, energyAc, "ac"),
      bar(x + step * 0.52, energyDc, "dc"),
    ]),
  );
}

function efficiencyLine({ points, width, limits }) {
  const band = BANDS.efficiency;
  const known = points.filter(({ efficiency }) => efficiency !== null);
  const range = efficiencyRange(known.map(({ efficiency }) => efficiency));
  const y = valueScale({ ...band, ...range });
  const little = LITTLE_SHARE * Math.max(...points.map(({ energyAc }) => energyAc));
  const marks = known.map((hour) =>
    efficiencyMark(hour.middle, y(hour.efficiency), markName(hour, little, limits)),
  );
  return svg(
    "g",
    {},
    bandFrame(band, "Efficiency", width),
    lowZone(band, y, width, limits),
    bandLimits(band, `${Math.round(range.most * 100)} %`, `${Math.round(range.least * 100)} %`),
    valueLines(known, ({ efficiency }) => y(efficiency), "efficiency"),
    marks,
  );
}

// How an hour's efficiency is marked; an hour of less energy than `little`, in kWh, is not judged, and
// one that is not certain is no fault yet.
export function markName(hour, little, limits) {
  if (hour.energyAc < little) return "little";
  const name = isLowHour(hour, limits) || isImpossibleHour(hour, limits) ? "too-low" : "fine";
  return hour.certain ? name : `${name} unsure`;
}

function temperatureLine({ points, width }) {
  const band = BANDS.temperature;
  const known = points.filter(({ avgTemp }) => avgTemp !== null);
  const range = temperatureRange(known.map(({ avgTemp }) => avgTemp));
  const y = valueScale({ ...band, ...range });
  const dot = ({ middle, avgTemp }) =>
    svg("circle", { cx: middle, cy: y(avgTemp), r: 2, class: "temperature-dot" });
  return svg(
    "g",
    {},
    bandFrame(band, "Battery temperature, °C", width),
    bandLimits(band, String(range.most), String(range.least)),
    valueLines(known, ({ avgTemp }) => y(avgTemp), "temperature"),
    known.map(dot),
  );
}

function tooltip({ step }, hour) {
  const time = clock(hour.hour, { seconds: false });
  const energies = `AC ${kwh(hour.energyAc)}, DC ${kwh(hour.energyDc)}`;
  const sure = hour.certain || hour.efficiency === null ? "" : " (uncertain)";
  const efficiency = `efficiency ${percent(hour.efficiency)}${sure}`;
  const words = `${energies}, ${efficiency}, ${celsius(hour.avgTemp)}`;
  const height = HEIGHT - 20 - PLOT_TOP;
  const area = { x: hour.x, y: PLOT_TOP, width: step, height, class: "hour" };
  return svg("rect", area, svg("title", {}, `${time}: ${words}`));
}
