// A vehicle's day drawn: its sessions, AC beside DC, efficiency and temperature, hour by hour on one
// time axis. The table below it says the same in numbers.

import { svg } from "./dom.js";
import { celsius, clock, isImpossibleHour, isLowHour, kwh, LOW_EFFICIENCY, percent } from "./format.js";

const HOUR = 3_600_000;
const LEFT = 52;
const RIGHT = 20;
const BANDS = { sessions: [20, 20], energy: [66, 120], efficiency: [216, 96], temperature: [342, 56] };
const HEIGHT = 424;
const NARROW = 520;
const LETTER = 8;
const LOWEST_SHOWN = 0.6;
const HIGHEST_SHOWN = 1.1;
const LITTLE = 0.1; // of the most an hour drew: a ratio of so little says hardly anything

export function dayChart({ hours, sessions, start, end, width, label }) {
  const first = Math.floor(start / HOUR) * HOUR;
  const slots = Math.ceil((end - first) / HOUR);
  const step = (width - LEFT - RIGHT) / slots;
  const at = (time) => LEFT + Math.min(slots, Math.max(0, (time - first) / HOUR)) * step;
  const points = hours.map((hour) => ({ ...hour, time: Date.parse(hour.hour), x: at(Date.parse(hour.hour)) }));
  const frame = { first, slots, step, at, width, points };
  return svg(
    "svg",
    { class: "day", role: "img", "aria-label": label, viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
    axis(frame),
    sessionStrip(frame, sessions),
    energyBars(frame),
    efficiencyLine(frame),
    temperatureLine(frame),
    points.map((hour) => tooltip(frame, hour)),
  );
}

const text = (x, y, className, words) => svg("text", { x, y, class: className }, words);
const line = (x1, y1, x2, y2, className) => svg("line", { x1, y1, x2, y2, class: className });

function axis({ first, slots, step, width }) {
  const every = width < NARROW ? 6 : 3;
  const marks = [];
  for (let slot = 0; slot <= slots; slot += 1) {
    const hour = new Date(first + slot * HOUR).getUTCHours();
    if (hour % every) continue;
    const x = LEFT + slot * step;
    marks.push(line(x, 16, x, HEIGHT - 20, hour ? "grid" : "midnight"), text(x, HEIGHT - 5, "tick middle", `${String(hour).padStart(2, "0")}:00`));
  }
  return svg("g", {}, marks);
}

function title(band, words, width) {
  const [top, height] = BANDS[band];
  return [text(LEFT, top - 8, "band", words), line(LEFT, top + height, width - RIGHT, top + height, "base")];
}

function sessionStrip({ at, width }, sessions) {
  const [top, height] = BANDS.sessions;
  const bars = sessions.map((session) => {
    const from = at(Date.parse(session.startedAt));
    const until = session.endedAt === null ? width - RIGHT : at(Date.parse(session.endedAt));
    const wide = Math.max(2, until - from);
    const fits = wide > LETTER * session.meterId.length;
    return [
      svg("rect", { x: from, y: top, width: wide, height, rx: 3, class: "session" }),
      fits ? text(from + wide / 2, top + 14, "in-session middle", session.meterId) : null,
    ];
  });
  return svg("g", {}, title("sessions", "Sessions, at charger", width), bars);
}

function energyBars({ points, step, width }) {
  const [top, height] = BANDS.energy;
  const most = Math.max(1, ...points.map((hour) => Math.max(hour.energyAc, hour.energyDc)));
  const bar = (hour, value, place, name) => {
    const tall = (height * value) / most;
    return svg("rect", { x: hour.x + step * (0.12 + 0.4 * place), y: top + height - tall, width: step * 0.36, height: tall, class: name });
  };
  return svg(
    "g",
    {},
    title("energy", "Energy of each hour, kWh", width),
    text(LEFT - 6, top + 5, "tick end", most.toFixed(most < 10 ? 1 : 0)),
    text(LEFT - 6, top + height, "tick end", "0"),
    points.map((hour) => [bar(hour, hour.energyAc, 0, "ac"), bar(hour, hour.energyDc, 1, "dc")]),
  );
}

function efficiencyLine({ points, step, width }) {
  const [top, height] = BANDS.efficiency;
  const known = points.filter((hour) => hour.efficiency !== null);
  const values = known.map((hour) => hour.efficiency);
  const most = Math.min(HIGHEST_SHOWN, Math.max(1, ...values));
  const least = Math.min(LOWEST_SHOWN, ...values);
  const y = (value) => top + (height * (most - Math.min(most, value))) / (most - least);
  const low = y(LOW_EFFICIENCY);
  const little = LITTLE * Math.max(...points.map((hour) => hour.energyAc));
  const marks = known.map((hour) => mark(hour.x + step / 2, y(hour.efficiency), hour, hour.energyAc < little));
  return svg(
    "g",
    {},
    title("efficiency", "Efficiency", width),
    svg("rect", { x: LEFT, y: low, width: width - LEFT - RIGHT, height: top + height - low, class: "low-zone" }),
    line(LEFT, low, width - RIGHT, low, "limit"),
    text(LEFT - 6, low + 4, "tick end limit-name", "85 %"),
    text(LEFT - 6, top + 5, "tick end", `${Math.round(most * 100)} %`),
    text(LEFT - 6, top + height, "tick end", `${Math.round(least * 100)} %`),
    runs(known).map((run) => path(run.map((hour) => [hour.x + step / 2, y(hour.efficiency)]), "efficiency")),
    marks,
  );
}

function mark(x, y, hour, little) {
  if (little) return svg("circle", { cx: x, cy: y, r: 3.5, class: "little" });
  if (!isLowHour(hour) && !isImpossibleHour(hour)) return svg("circle", { cx: x, cy: y, r: 4.5, class: "fine" });
  return svg("path", { d: `M${x} ${y - 6}l6 6-6 6-6-6z`, class: "too-low" });
}

function temperatureLine({ points, step, width }) {
  const [top, height] = BANDS.temperature;
  const known = points.filter((hour) => hour.avgTemp !== null);
  const values = known.map((hour) => hour.avgTemp);
  const most = Math.ceil(Math.max(1, ...values) + 1);
  const least = Math.floor(Math.min(most - 5, ...values));
  const y = (value) => top + (height * (most - value)) / (most - least);
  return svg(
    "g",
    {},
    title("temperature", "Battery temperature, °C", width),
    text(LEFT - 6, top + 5, "tick end", String(most)),
    text(LEFT - 6, top + height, "tick end", String(least)),
    runs(known).map((run) => path(run.map((hour) => [hour.x + step / 2, y(hour.avgTemp)]), "temperature")),
    known.map((hour) => svg("circle", { cx: hour.x + step / 2, cy: y(hour.avgTemp), r: 2, class: "temperature-dot" })),
  );
}

// Hours that follow one another: a line over a gap would claim what nobody read.
function runs(hours) {
  const found = [];
  for (const hour of hours) {
    const run = found.at(-1);
    if (run && hour.time - run.at(-1).time === HOUR) run.push(hour);
    else found.push([hour]);
  }
  return found;
}

const path = (points, className) => svg("polyline", { points: points.map((point) => point.map((n) => n.toFixed(1)).join(",")).join(" "), class: className });

function tooltip({ step }, hour) {
  const words = `${clock(hour.hour, { seconds: false })}: AC ${kwh(hour.energyAc)}, DC ${kwh(hour.energyDc)}, efficiency ${percent(hour.efficiency)}, ${celsius(hour.avgTemp)}`;
  return svg("rect", { x: hour.x, y: 16, width: step, height: HEIGHT - 36, class: "hour" }, svg("title", {}, words));
}
