// Addresses, windows of time and the scales of the chart.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  chargerAddress,
  chargersAddress,
  findAddress,
  parseAddress,
  vehicleAddress,
} from "../../api/static/address.js";
import {
  consecutiveRuns,
  efficiencyRange,
  highestEnergy,
  hourMarks,
  slotMarks,
  temperatureRange,
  timeScale,
  valueScale,
} from "../../api/static/chart_scales.js";
import { listPath } from "../../api/static/device_list.js";
import {
  calendarDay,
  chosenWindow,
  DAY_MS,
  daysUpTo,
  HOUR_MS,
  rangeProblem,
  shiftedDay,
  slotOf,
  windowOf,
  windowTitle,
} from "../../api/static/time_window.js";
import { daysOf } from "../../api/static/vehicle_hours.js";

const time = (text) => Date.parse(text);

test("an address gives back the id it was made of", () => {
  for (const id of ["VH-001", "a/b?c#d&e=%2F", "   ", "' onload='", "\u202eright to left"]) {
    assert.equal(parseAddress(vehicleAddress(id)).vehicle, id);
    const { vehicle, day } = parseAddress(vehicleAddress(id, { day: "2026-01-31" }));
    assert.deepEqual([vehicle, day], [id, "2026-01-31"]);
  }
});

test("an address that cannot be decoded stays as it is; an empty one asks for the fleet", () => {
  assert.equal(parseAddress("#vehicle=100%").vehicle, "100%");
  assert.equal(parseAddress("#vehicle=a=b").vehicle, "a=b");
  assert.equal(parseAddress("").vehicle, undefined);
  assert.equal(parseAddress("#").vehicle, undefined);
});

test("the window a reader chose stays in the address, and what is no window is none", () => {
  const range = { from: "2026-01-31T12:00", to: "2026-02-01T00:30" };
  for (const chosen of [{}, { day: "2026-01-31" }, { last: "7d" }, { last: "31d" }, range]) {
    const { charger, ...rest } = parseAddress(chargerAddress("a&b", chosen));
    assert.deepEqual([charger, chosenWindow(rest)], ["a&b", chosen]);
    assert.deepEqual(chosenWindow(parseAddress(chargersAddress(chosen))), chosen);
  }
  for (const bad of [{ day: "x" }, { last: "9d" }, { last: "toString" }, { from: range.from }]) {
    assert.deepEqual(chosenWindow(bad), {});
  }
  assert.equal(parseAddress(findAddress("100% & more")).find, "100% & more");
});

test("a stretch of time runs forward, and for 31 days at most", () => {
  assert.equal(rangeProblem("2026-01-01T00:00", "2026-02-01T00:00"), "");
  assert.equal(rangeProblem("2026-01-01T00:00", "2026-02-01T00:01"), "At most 31 days");
  assert.match(rangeProblem("2026-01-01T00:00", "2026-01-01T00:00"), /must be before/);
  for (const bad of ["", "2026-02-30T00:00", "2026-01-01T25:00", undefined]) {
    assert.equal(rangeProblem(bad, "2026-02-01T00:00"), "Both times are needed");
  }
});

test("the last days are whole ones up to now, and no window is longer than 31 days", () => {
  const now = time("2026-01-31T14:25:00Z");
  const last = (text) => windowOf({ last: text }, now);
  assert.deepEqual(last("7d"), { start: time("2026-01-25T00:00:00Z"), end: now });
  assert.deepEqual(last("31d"), { start: time("2026-01-01T00:00:00Z"), end: now });
  assert.deepEqual(daysUpTo(last("7d")), last("31d"));
  const midnight = time("2026-01-31T00:00:00Z");
  const whole = daysUpTo({ end: midnight });
  assert.deepEqual(whole, { start: time("2025-12-31T00:00:00Z"), end: midnight });
  const range = windowOf({ from: "2026-01-31T12:00", to: "2026-02-01T00:30" }, now);
  assert.deepEqual(range, { start: time("2026-01-31T12:00:00Z"), end: now });
  assert.equal(windowTitle({ last: "7d" }), "The last 7 days");
  assert.equal(
    windowTitle({ from: "2026-01-31T12:00", to: "2026-02-01T00:30" }),
    "2026-01-31 12:00 to 2026-02-01 00:30",
  );
});

test("a long window is drawn by days, which add up its hours", () => {
  assert.equal(slotOf({ start: 0, end: 3 * DAY_MS }), HOUR_MS);
  assert.equal(slotOf({ start: 0, end: 3 * DAY_MS + 1 }), DAY_MS);
  const hour = (text, energyAc, energyDc, avgTemp = null) => {
    return { hour: `2026-01-${text}:00:00Z`, energyAc, energyDc, avgTemp };
  };
  const [first, second] = daysOf([
    hour("30T22", 10, 8, 20),
    hour("30T23", 10, 9, 30),
    hour("31T00", 0, 1),
  ]);
  assert.deepEqual([first.day, first.energyAc, first.energyDc], ["2026-01-30", 20, 17]);
  assert.deepEqual([first.efficiency, first.avgTemp], [0.85, 25]);
  assert.deepEqual([second.efficiency, second.avgTemp], [null, null]);
  const [charger] = daysOf([{ hour: "2026-01-30T22:00:00Z", energyAc: 1, readings: 5 }]);
  assert.deepEqual([charger.energyDc, charger.efficiency, charger.readings], [null, null, 5]);
});

test("days are marked as many as there is place for, the last among them", () => {
  const first = time("2026-01-01T00:00:00Z");
  const marks = slotMarks({ first, slots: 5, slotMs: DAY_MS }, 2);
  assert.deepEqual(
    marks.map(({ slot, name }) => [slot, name]),
    [
      [0, "01-01"],
      [2, "01-03"],
      [4, "01-05"],
    ],
  );
});

test("devices are asked for by a part of what is known of them", () => {
  assert.equal(listPath("meters", ""), "/v1/devices/meters?limit=100");
  const path = "/v1/devices/vehicles?limit=5&search=a%26b&isActive=false";
  assert.equal(listPath("vehicles", "a&b", "false", 5), path);
});

test("only days of the calendar are days", () => {
  assert.equal(calendarDay("2024-02-29"), "2024-02-29");
  assert.equal(calendarDay("1970-01-01"), "1970-01-01");
  for (const text of ["2026-02-29", "2026-13-01", "2026-1-1", "today", "", null, undefined]) {
    assert.equal(calendarDay(text), null);
  }
});

test("days follow one another, also where clocks are set for daylight saving", () => {
  assert.equal(shiftedDay("2026-03-29", 1), "2026-03-30");
  assert.equal(shiftedDay("2024-03-01", -1), "2024-02-29");
  const { start, end } = windowOf({ day: "2026-03-29" }, time("2026-05-01T00:00:00Z"));
  assert.equal(end - start, 24 * HOUR_MS);
});

test("a window ends now at the latest, and the last 24 hours begin at a whole hour", () => {
  const now = time("2026-01-31T14:25:00Z");
  const start = time("2026-01-31T00:00:00Z");
  assert.deepEqual(windowOf({ day: "2026-01-31" }, now), { start, end: now });
  assert.deepEqual(windowOf({}, now), { start: time("2026-01-30T14:00:00Z"), end: now });
  const ahead = time("2026-02-01T00:00:00Z");
  assert.deepEqual(windowOf({ day: "2026-02-01" }, now), {
    start: ahead,
    end: ahead + 24 * HOUR_MS,
  });
});

test("the time axis has a slot for each hour begun", () => {
  const start = time("2026-01-30T14:00:00Z");
  const end = time("2026-01-31T14:25:00Z");
  const { first, slots, step, at } = timeScale({ start, end, left: 50, right: 300 });
  assert.deepEqual([first, slots, step], [start, 25, 10]);
  assert.deepEqual([at(start), at(start + HOUR_MS / 2), at(end + 9 * HOUR_MS)], [50, 55, 300]);
  assert.equal(at(start - HOUR_MS), 50);
});

test("hours of the day are marked, midnight among them", () => {
  const first = time("2026-01-30T22:00:00Z");
  const marks = hourMarks({ first, slots: 5 }, 3);
  assert.deepEqual(marks, [
    { slot: 2, hour: 0 },
    { slot: 5, hour: 3 },
  ]);
});

test("values lie between the ends of their band, and higher ones at its top", () => {
  const y = valueScale({ top: 100, height: 50, least: 0, most: 10 });
  assert.deepEqual([y(0), y(5), y(10), y(20)], [150, 125, 100, 100]);
});

test("axes have an extent without any value, and widen with values", () => {
  assert.equal(highestEnergy([]), 1);
  assert.equal(highestEnergy([{ energyAc: 3, energyDc: 7 }]), 7);
  assert.deepEqual(efficiencyRange([]), { least: 0.6, most: 1 });
  assert.deepEqual(efficiencyRange([0.2, 9]), { least: 0.2, most: 1.1 });
  assert.deepEqual(temperatureRange([]), { least: -3, most: 2 });
  assert.deepEqual(temperatureRange([20.5]), { least: 17, most: 22 });
  assert.deepEqual(temperatureRange([-30.5, 40]), { least: -31, most: 41 });
});

test("a gap ends a run of hours", () => {
  const hours = [0, 1, 2, 4, 6].map((hour) => ({ time: hour * HOUR_MS }));
  const lengths = consecutiveRuns(hours).map((run) => run.length);
  assert.deepEqual(lengths, [3, 1, 1]);
  assert.deepEqual(consecutiveRuns([]), []);
});
