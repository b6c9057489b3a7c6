// Numbers and times as they are shown. Times are UTC, as in the API.

import { serverNow } from "./http.js";

export const LOW_EFFICIENCY = 0.85;
const NOTHING = "–";
const MUCH_KWH = 100_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const PLAIN_MS = 12 * HOUR; // so far away a time of day can mean but one day
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const unless = (value, format) => (value === null || value === undefined ? NOTHING : format(value));

export const count = (value) => unless(value, (number) => whole.format(number));
export const kwh = (value) =>
  unless(value, (number) => (number < MUCH_KWH ? `${tenths.format(number)} kWh` : `${tenths.format(number / 1000)} MWh`));
export const energy = (value) => unless(value, (number) => tenths.format(number));
export const percent = (ratio) => unless(ratio, (number) => `${tenths.format(number * 100)} %`);
export const soc = (value) => unless(value, (number) => `${whole.format(number)} %`);
export const celsius = (value) => unless(value, (number) => `${tenths.format(number)} °C`);
export const rate = (value) => (value < 10 ? tenths : whole).format(value);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// 14:05:09, with its day when that is wanted or not plain.
export function clock(time, { seconds = true, day = false } = {}) {
  return unless(time, () => {
    const iso = new Date(time).toISOString();
    const text = iso.slice(11, seconds ? 19 : 16);
    const near = !day && Math.abs(serverNow() - new Date(time)) < PLAIN_MS;
    return near ? text : `${iso.slice(0, 10)} ${text}`;
  });
}

export function dayAndHour(time) {
  return `${new Date(time).toISOString().slice(0, 13).replace("T", " ")}:00`;
}

// A length of time in its two largest units: 45 s, 12 min, 3 h 05 min, 2 d 4 h.
export function lasting(milliseconds) {
  const ms = Math.max(0, milliseconds);
  if (ms < MINUTE) return `${Math.floor(ms / 1000)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) {
    const minutes = String(Math.floor((ms % HOUR) / MINUTE)).padStart(2, "0");
    return `${Math.floor(ms / HOUR)} h ${minutes} min`;
  }
  return `${Math.floor(ms / DAY)} d ${Math.floor((ms % DAY) / HOUR)} h`;
}

export const ago = (time) => unless(time, () => `${lasting(serverNow() - Date.parse(time))} ago`);
export const isLow = (ratio) => ratio !== null && ratio < LOW_EFFICIENCY;

// A ratio in words, and as good or bad.
export function judgement(ratio) {
  if (ratio === null) return ["nothing was charged", ""];
  if (isLow(ratio)) return ["under 85 %", "bad"];
  return ratio > 1 ? ["over 100 %: impossible", "bad"] : ["not under 85 %", "good"];
}

// What a figure rests on, in words.
export function coverageText(coverage) {
  if (coverage.quality === "none") return "rests on nothing: a side has no reading";
  const ac = `AC ${count(coverage.acReadings)} of ${count(coverage.acReadingsExpected)}`;
  const dc = `DC ${count(coverage.dcReadings)} of ${count(coverage.dcReadingsExpected)}`;
  return `${coverage.quality} readings: ${ac}, ${dc}`;
}
