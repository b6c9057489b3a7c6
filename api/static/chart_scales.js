// The scales of a chart over time: from times and values to pixels.

import { DAY_MS, HOUR_MS } from "./time_window.js";

const LOWEST_EFFICIENCY_AXIS = 0.6;
const HIGHEST_EFFICIENCY_AXIS = 1.1;
const LEAST_TEMPERATURE_SPAN = 5;

// The time axis from `left` to `right`, in slots of an hour or a day: {first, slots, step, at, slotMs}.
// `at` is the x of a time in ms; times outside of the window lie at its ends.
export function timeScale({ start, end, left, right, slotMs = HOUR_MS }) {
  const first = Math.floor(start / slotMs) * slotMs;
  const slots = Math.ceil((end - first) / slotMs);
  const step = (right - left) / slots;
  const at = (time) => left + Math.min(slots, Math.max(0, (time - first) / slotMs)) * step;
  return { first, slots, step, at, slotMs };
}

// The marked slots of the axis: [{slot, name, isMidnight}, ...]. Hours are marked at every hour of the
// day that `every` divides, days every so many, counted from the last one.
export function slotMarks(scale, every) {
  if (scale.slotMs === HOUR_MS) {
    return hourMarks(scale, every).map(({ slot, hour }) => {
      return { slot, name: `${String(hour).padStart(2, "0")}:00`, isMidnight: hour === 0 };
    });
  }
  const all = Array.from({ length: scale.slots }, (_, slot) => slot);
  return all
    .filter((slot) => (scale.slots - 1 - slot) % every === 0)
    .map((slot) => {
      const day = new Date(scale.first + slot * DAY_MS).toISOString();
      return { slot, name: day.slice(5, 10), isMidnight: false };
    });
}

// The marked hours of the axis: [{slot, hour}, ...] for every hour of the day `every` divides.
export function hourMarks({ first, slots }, every) {
  const all = Array.from({ length: slots + 1 }, (_, slot) => ({
    slot,
    hour: new Date(first + slot * HOUR_MS).getUTCHours(),
  }));
  return all.filter(({ hour }) => hour % every === 0);
}

// The y of a value in a band of the chart; values above `most` lie at its top.
export function valueScale({ top, height, least, most }) {
  return (value) => top + (height * (most - Math.min(most, value))) / (most - least);
}

// The highest energy of an hour, in kWh, but at least 1.
export const highestEnergy = (hours) =>
  Math.max(1, ...hours.flatMap((hour) => [hour.energyAc, hour.energyDc ?? 0]));

// {least, most} of the axis for ratios. What lies above is drawn at the top.
export function efficiencyRange(ratios) {
  return {
    least: Math.min(LOWEST_EFFICIENCY_AXIS, ...ratios),
    most: Math.min(HIGHEST_EFFICIENCY_AXIS, Math.max(1, ...ratios)),
  };
}

// {least, most} of the axis for temperatures, in whole °C.
export function temperatureRange(temperatures) {
  const most = Math.ceil(Math.max(1, ...temperatures) + 1);
  const least = Math.floor(Math.min(most - LEAST_TEMPERATURE_SPAN, ...temperatures));
  return { least, most };
}

// Hours, or what lasts `slotMs`, grouped into runs that follow one another: a line across a gap would
// show what nobody has read. They have a `time` in ms and are in order.
export function consecutiveRuns(hours, slotMs = HOUR_MS) {
  const runs = [];
  for (const hour of hours) {
    const run = runs.at(-1);
    if (run && hour.time - run.at(-1).time === slotMs) run.push(hour);
    else runs.push([hour]);
  }
  return runs;
}
