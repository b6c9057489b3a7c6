// Windows of time that figures are asked for, as an address chooses them: one UTC day, the last 24
// hours, 7 or 31 days, or from one time to another. All times are UTC, so that every day has 24 hours.

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const LONGEST_DAYS = 31;
const DRAWN_BY_DAYS_FROM_MS = 3 * DAY_MS; // A longer window has too many hours to draw.
const DAY_FORM = /^\d{4}-\d\d-\d\d$/;
const MINUTE_FORM = /^\d{4}-\d\d-\d\dT\d\d:\d\d$/;
const LAST_DAYS = { "7d": 7, "31d": LONGEST_DAYS };

export const isoTime = (time) => new Date(time).toISOString();
export const isoDay = (time) => isoTime(time).slice(0, 10);
export const isoMinute = (time) => isoTime(time).slice(0, 16);
const startOfDay = (day) => Date.parse(`${day}T00:00:00Z`);
const startOfToday = (now) => Math.floor(now / DAY_MS) * DAY_MS;

// The text when it is a day of the calendar, as in 2026-01-31; otherwise null.
export function calendarDay(text) {
  if (!DAY_FORM.test(text ?? "")) return null;
  const start = startOfDay(text);
  return !Number.isNaN(start) && isoDay(start) === text ? text : null;
}

// The day that lies `days` after this one; before it when negative.
export const shiftedDay = (day, days) => isoDay(startOfDay(day) + days * DAY_MS);

// The choice an address asks for: {day}, {last} or {from, to}; {} are the last 24 hours, and what
// stands for anything that is no window.
export function chosenWindow({ day, last, from, to }) {
  if (calendarDay(day)) return { day };
  if (Object.hasOwn(LAST_DAYS, last ?? "")) return { last };
  return rangeProblem(from, to) === "" ? { from, to } : {};
}

// Why there is no window from one time to the other, both as in 2026-01-31T12:00; empty when there is.
export function rangeProblem(from, to) {
  const [start, end] = [from, to].map(minuteOf);
  if (start === null || end === null) return "Both times are needed";
  if (start >= end) return "The first time must be before the second";
  return end - start > LONGEST_DAYS * DAY_MS ? `At most ${LONGEST_DAYS} days` : "";
}

function minuteOf(text) {
  const isMinute = MINUTE_FORM.test(text ?? "") && calendarDay(text.slice(0, 10));
  const time = isMinute ? Date.parse(`${text}Z`) : Number.NaN;
  return Number.isNaN(time) ? null : time;
}

// The window [start, end) in ms, up to now where that lies in it. The last 24 hours begin at a whole
// hour, as the fleet's window does, and the last days at midnight, so that whole days can be shown.
export function windowOf({ day, last, from, to }, now) {
  if (day) return upToNow(startOfDay(day), startOfDay(day) + DAY_MS, now);
  if (last) return { start: startOfToday(now) - (LAST_DAYS[last] - 1) * DAY_MS, end: now };
  if (from) return upToNow(minuteOf(from), minuteOf(to), now);
  return { start: Math.floor((now - DAY_MS) / HOUR_MS) * HOUR_MS, end: now };
}

const upToNow = (start, end, now) => ({ start, end: now > start ? Math.min(end, now) : end });

// The days that show since when a device is as it is: the 31 up to the end of a window.
export function daysUpTo({ end }) {
  return { start: startOfToday(end - 1) - (LONGEST_DAYS - 1) * DAY_MS, end };
}

// How long a slot of a window's chart is, in ms.
export const slotOf = ({ start, end }) => (end - start > DRAWN_BY_DAYS_FROM_MS ? DAY_MS : HOUR_MS);

// A choice in words.
export function windowTitle({ day, last, from, to }) {
  if (day) return `The day ${day}`;
  if (last) return `The last ${LAST_DAYS[last]} days`;
  return from ? `${from.replace("T", " ")} to ${to.replace("T", " ")}` : "The last 24 hours";
}

// A window as the API is asked for it.
export const windowQuery = ({ start, end }) =>
  `startTime=${isoTime(start)}&endTime=${isoTime(end)}`;
