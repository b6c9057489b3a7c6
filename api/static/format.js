// Numbers and times as they are shown. Times are UTC, as in the API.

import { serverNow } from "./http.js";

export const LOW_EFFICIENCY = 0.85;
const LOW_PERCENT = 85;
const FULL_PERCENT = 100;
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

// The API judges before it rounds: a ratio that prints as 0.85 may be under it. Its alerts know.
const flaggedAs = ({ alerts }, code) => alerts.some((alert) => alert.code === code);
export const isLow = (figures) => flaggedAs(figures, "low_efficiency");

// A ratio in words, and as good or bad.
export function judgement(figures) {
  const ratio = figures.metrics.efficiencyRatio;
  if (figures.coverage.quality === "none") return ["no alert without readings of both sides", ""];
  if (ratio === null) return ["nothing was charged", ""];
  if (isLow(figures)) return [lowWords(ratio), "bad"];
  if (!flaggedAs(figures, "impossible_efficiency")) return ["not under 85 %", "good"];
  return [`${ratio > 1 ? "" : "just "}over 100 %: impossible`, "bad"];
}

export const lowWords = (ratio) => (ratio < LOW_EFFICIENCY ? "under 85 %" : "just under 85 %");

// Hours have no alerts. Where the ratio prints as the limit, the energies tell its side.
const watthours = (number) => Math.round(number * 1000);
const beside = ({ efficiency, energyAc, energyDc }, limit) =>
  Math.round(efficiency * 1000) - limit * 10 || 100 * watthours(energyDc) - limit * watthours(energyAc);
export const isLowHour = (hour) => hour.efficiency !== null && beside(hour, LOW_PERCENT) < 0;
export const isImpossibleHour = (hour) => hour.efficiency !== null && beside(hour, FULL_PERCENT) > 0;

// What a figure rests on, in words.
export function coverageText(coverage) {
  if (coverage.quality === "none") return "rests on nothing: a side has no reading";
  const ac = `AC ${count(coverage.acReadings)} of ${count(coverage.acReadingsExpected)}`;
  const dc = `DC ${count(coverage.dcReadings)} of ${count(coverage.dcReadingsExpected)}`;
  return `${coverage.quality} readings: ${ac}, ${dc}`;
}
