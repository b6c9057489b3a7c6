// Numbers and times as they are shown. Times are UTC, as in the API.

import { serverNow } from "./server_clock.js";
import { DAY_MS, HOUR_MS } from "./time_window.js";

const NOTHING = "–";
const MEGAWATT_HOURS_FROM_KWH = 100_000;
const WHOLE_RATE_FROM = 10;
const MINUTE_MS = 60_000;
const TIME_ALONE_MS = 12 * HOUR_MS; // A time of day within this distance can mean only one day.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

const orDash = (value, format) => (value === null || value === undefined ? NOTHING : format(value));

export const count = (value) => orDash(value, (number) => whole.format(number));
export const kwh = (value) =>
  orDash(value, (number) =>
    number < MEGAWATT_HOURS_FROM_KWH
      ? `${tenths.format(number)} kWh`
      : `${tenths.format(number / 1000)} MWh`,
  );
export const energy = (value) => orDash(value, (number) => tenths.format(number));
export const percent = (ratio) => orDash(ratio, (number) => `${tenths.format(number * 100)} %`);
export const stateOfCharge = (value) => orDash(value, (number) => `${whole.format(number)} %`);
export const celsius = (value) => orDash(value, (number) => `${tenths.format(number)} °C`);
export const rate = (value) => (value < WHOLE_RATE_FROM ? tenths : whole).format(value);
export const plural = (number, one, many = `${one}s`) =>
  `${count(number)} ${number === 1 ? one : many}`;

// A limit of the API in per cent, without decimals where it has none: 85 %.
export const limitPercent = (limit) => `${short.format(limit * 100)} %`;

// A time of day as 14:05:09; its day stands before it when `day` is set or the time is far away.
export function clock(time, { seconds = true, day = false } = {}) {
  return orDash(time, () => {
    const iso = new Date(time).toISOString();
    const text = iso.slice(11, seconds ? 19 : 16);
    const near = !day && Math.abs(serverNow() - new Date(time)) < TIME_ALONE_MS;
    return near ? text : `${iso.slice(0, 10)} ${text}`;
  });
}

export function dayAndHour(time) {
  return `${new Date(time).toISOString().slice(0, 13).replace("T", " ")}:00`;
}

// A length of time in its two largest units: 45 s, 12 min, 3 h 05 min, 2 d 4 h.
export function duration(milliseconds) {
  const ms = Math.max(0, milliseconds);
  if (ms < MINUTE_MS) return `${Math.floor(ms / 1000)} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  if (ms < DAY_MS) {
    const minutes = String(Math.floor((ms % HOUR_MS) / MINUTE_MS)).padStart(2, "0");
    return `${Math.floor(ms / HOUR_MS)} h ${minutes} min`;
  }
  return `${Math.floor(ms / DAY_MS)} d ${Math.floor((ms % DAY_MS) / HOUR_MS)} h`;
}

export const ago = (time) => orDash(time, () => `${duration(serverNow() - Date.parse(time))} ago`);
