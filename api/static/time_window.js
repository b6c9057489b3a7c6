// Windows of time a vehicle's figures are asked for. All times are UTC, so that every day has 24
// hours.

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const DAY_FORM = /^\d{4}-\d\d-\d\d$/;

export const isoTime = (time) => new Date(time).toISOString();
export const isoDay = (time) => isoTime(time).slice(0, 10);
const startOfDay = (day) => Date.parse(`${day}T00:00:00Z`);

// The text when it is a day of the calendar, as in 2026-01-31; otherwise null.
export function calendarDay(text) {
  if (!DAY_FORM.test(text ?? "")) return null;
  const start = startOfDay(text);
  return !Number.isNaN(start) && isoDay(start) === text ? text : null;
}

// The day that lies `days` after this one; before it when negative.
export const shiftedDay = (day, days) => isoDay(startOfDay(day) + days * DAY_MS);

// The window [start, end) in ms: a UTC day up to now, or without a day the last 24 hours. The
// latter begin at a whole hour, as the fleet's window does.
export function windowOf(day, now) {
  if (day === null) return { start: Math.floor((now - DAY_MS) / HOUR_MS) * HOUR_MS, end: now };
  const start = startOfDay(day);
  return { start, end: now > start ? Math.min(start + DAY_MS, now) : start + DAY_MS };
}
