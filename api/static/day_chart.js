// The chart of a device's window: its sessions, AC beside DC energy, efficiency and temperature, as far
// as they are known of it, hour by hour or day by day on one time axis. The table below it has the
// same numbers.

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
  slotMarks,
  temperatureRange,
  timeScale,
  valueScale,
} from "./chart_scales.js";
import { svg } from "./dom.js";
import { isImpossibleHour, isLowHour } from "./efficiency.js";
import { celsius, clock, kwh, percent } from "./format.js";
import { DAY_MS, isoDay } from "./time_window.js";

const HEIGHTS = { sessions: 20, energy: 120, efficiency: 96, temperature: 56 };
const BETWEEN = 28;
const BELOW = 26;
const PLOT_TOP = 16;
const NARROW_DAYS = 30; // A day's name needs so many pixels.
const LETTER_WIDTH = 8;
const LITTLE_SHARE = 0.1; // A ratio of less than this share of the highest energy says little.

const DRAWN = {
  sessions: sessionStrip,
  energy: energyBars,
  efficiency: efficiencyLine,
  temperature: temperatureLine,
};
export const ALL_BANDS = Object.keys(DRAWN);

// An SVG element. `start` and `end` are in ms, `width` is in pixels, `label` is for screen readers;
// `bands` are those drawn, from the top on. `hours` may be days, of `slotMs`. A session's name is that
// of its `partner`, and `linkTo(session)` where it leads.
export function dayChart(chart) {
  const { hours, start, end, width, label, slotMs, bands = ALL_BANDS } = chart;
  const scale = timeScale({ start, end, left: LEFT, right: width - RIGHT, slotMs });
  const points = hours.map((hour) => {
    const time = Date.parse(hour.hour);
    const x = scale.at(time);
    return { ...hour, time, x, middle: x + scale.step / 2 };
  });
  const placed = placedBands(bands);
  const height = bottomOf(placed[bands.at(-1)]) + BELOW;
  const frame = { ...chart, ...scale, points, height, bands: placed };
  const viewBox = `0 0 ${width} ${height}`;
  return svg(
    "svg",
    { class: "day", role: "img", "aria-label": label, viewBox, width, height },
    timeAxis(frame),
    bands.map((name) => DRAWN[name](frame, placed[name])),
    points.map((hour) => tooltip(frame, hour)),
  );
}

// Where each band lies: {top, height} by its name.
function placedBands(names) {
  let top = PLOT_TOP + 4;
  const placed = names.map((name) => {
    const band = { top, height: HEIGHTS[name] };
    top = bottomOf(band) + BETWEEN;
    return [name, band];
  });
  return Object.fromEntries(placed);
}

const isByDay = ({ slotMs }) => slotMs === DAY_MS;

function timeAxis(frame) {
  const { step, height } = frame;
  const marks = slotMarks(frame, marksEvery(frame)).map(({ slot, name, isMidnight }) => {
    const x = LEFT + slot * step;
    return [
      line(x, PLOT_TOP, x, height - 20, isMidnight ? "midnight" : "grid"),
      text(isByDay(frame) ? x + step / 2 : x, height - 5, "tick middle", name),
    ];
  });
  return svg("g", {}, marks);
}

function marksEvery({ width, step, slots, slotMs }) {
  if (isByDay({ slotMs })) return Math.ceil((1.4 * NARROW_DAYS) / step);
  const every = width < NARROW ? 6 : 3;
  return slots > 36 ? 2 * every : every;
}

function sessionStrip({ at, end, width, sessions, partner, linkTo }, band) {
  const bars = sessions.map((session) => {
    const { startedAt, endedAt } = session;
    const id = session[partner];
    const from = at(Date.parse(startedAt));
    const until = at(endedAt === null ? end : Date.parse(endedAt));
    const wide = Math.max(2, until - from);
    const bar = { x: from, y: band.top, width: wide, height: band.height, rx: 3, class: "session" };
    const fits = wide > LETTER_WIDTH * id.length;
    const name = fits ? text(from + wide / 2, band.top + 14, "in-session middle", id) : null;
    // The table below has the same link for those without a mouse.
    const link = { href: linkTo(session), tabindex: -1, "aria-label": id };
    return svg("a", link, svg("rect", bar), name);
  });
  const whose = partner === "meterId" ? "at charger" : "of vehicle";
  return svg("g", {}, bandFrame(band, `Sessions, ${whose}`, width), bars);
}

function energyBars({ points, step, width, slotMs }, band) {
  const most = highestEnergy(points);
  const bar = (x, value, className, share = 0.36) => {
    const height = (band.height * value) / most;
    const y = bottomOf(band) - height;
    return svg("rect", { x, y, width: step * share, height, class: className });
  };
  return svg(
    "g",
    {},
    bandFrame(band, `Energy of each ${isByDay({ slotMs }) ? "day" : "hour"}, kWh`, width),
    bandLimits(band, most.toFixed(most < 10 ? 1 : 0), "0"),
    points.map(({ x, energyAc, energyDc }) =>
      energyDc === null
        ? bar(x + step * 0.12, energyAc, "ac", 0.76)
        : [bar(x + step * 0.12, energyAc, "ac"), bar(x + step * 0.52, energyDc, "dc")],
    ),
  );
}

function efficiencyLine({ points, width, limits, slotMs }, band) {
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
    valueLines(known, ({ efficiency }) => y(efficiency), "efficiency", slotMs),
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

function temperatureLine({ points, width, slotMs }, band) {
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
    valueLines(known, ({ avgTemp }) => y(avgTemp), "temperature", slotMs),
    known.map(dot),
  );
}

function tooltip({ step, height, bands, slotMs }, hour) {
  const time = isByDay({ slotMs }) ? isoDay(hour.time) : clock(hour.hour, { seconds: false });
  const words = [
    `AC ${kwh(hour.energyAc)}`,
    hour.energyDc === null ? null : `DC ${kwh(hour.energyDc)}`,
    bands.efficiency ? efficiencyText(hour) : null,
    bands.temperature ? celsius(hour.avgTemp) : null,
  ]
    .filter((word) => word)
    .join(", ");
  const tall = height - 20 - PLOT_TOP;
  const area = { x: hour.x, y: PLOT_TOP, width: step, height: tall, class: "hour" };
  return svg("rect", area, svg("title", {}, `${time}: ${words}`));
}

function efficiencyText({ efficiency, certain }) {
  const sure = certain || efficiency === null ? "" : " (uncertain)";
  return `efficiency ${percent(efficiency)}${sure}`;
}
