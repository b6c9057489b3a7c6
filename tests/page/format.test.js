// Numbers and times as the page shows them.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import {
  ago,
  celsius,
  clock,
  count,
  dayAndHour,
  duration,
  energy,
  kwh,
  limitPercent,
  percent,
  plural,
  rate,
  stateOfCharge,
} from "../../api/static/format.js";

const NOW = Date.parse("2026-03-29T12:00:00Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

beforeEach(() => mock.timers.enable({ apis: ["Date"], now: NOW }));
afterEach(() => mock.timers.reset());

test("a figure nobody knows is a dash", () => {
  for (const format of [count, kwh, energy, percent, stateOfCharge, celsius, clock, ago]) {
    assert.equal(format(null), "–");
    assert.equal(format(undefined), "–");
  }
});

test("zero is a figure", () => {
  assert.deepEqual(
    [count(0), kwh(0), energy(0), percent(0), stateOfCharge(0), celsius(0), rate(0)],
    ["0", "0.0 kWh", "0.0", "0.0 %", "0 %", "0.0 °C", "0.0"],
  );
});

test("large figures have separators, and energies a larger unit", () => {
  assert.equal(count(1_234_567), "1,234,567");
  assert.equal(kwh(99_999.94), "99,999.9 kWh");
  assert.equal(kwh(100_000), "100.0 MWh");
});

test("rates have tenths only below ten", () => {
  assert.equal(rate(9.94), "9.9");
  assert.equal(rate(10), "10");
  assert.equal(rate(1234.5), "1,235");
});

test("limits have decimals only where they need them", () => {
  assert.equal(limitPercent(0.85), "85 %");
  assert.equal(limitPercent(1), "100 %");
  assert.equal(limitPercent(0.875), "87.5 %");
});

test("one is singular, anything else plural", () => {
  assert.equal(plural(1, "session"), "1 session");
  assert.equal(plural(0, "session"), "0 sessions");
  assert.equal(plural(1200, "battery", "batteries"), "1,200 batteries");
});

test("a time has its day when it is far away or wanted", () => {
  assert.equal(clock("2026-03-29T00:00:01Z"), "00:00:01");
  assert.equal(clock("2026-03-29T00:00:00Z"), "2026-03-29 00:00:00");
  assert.equal(clock(NOW, { seconds: false }), "12:00");
  assert.equal(clock(NOW, { seconds: false, day: true }), "2026-03-29 12:00");
});

test("times stay UTC where clocks are set for daylight saving", () => {
  const before = process.env.TZ;
  process.env.TZ = "Europe/Berlin";
  try {
    assert.equal(new Date(NOW).getHours(), 14);
    assert.equal(clock("2026-03-29T01:30:00Z"), "01:30:00");
    assert.equal(dayAndHour("2026-03-29T02:00:00Z"), "2026-03-29 02:00");
  } finally {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  }
});

test("a duration has its two largest units", () => {
  assert.equal(duration(-5), "0 s");
  assert.equal(duration(59_999), "59 s");
  assert.equal(duration(MINUTE), "1 min");
  assert.equal(duration(3 * HOUR + 5 * MINUTE), "3 h 05 min");
  assert.equal(duration(52 * HOUR + 59 * MINUTE), "2 d 4 h");
});

test("an age counts from now, and a time ahead has none", () => {
  assert.equal(ago("2026-03-29T11:59:15Z"), "45 s ago");
  assert.equal(ago("2026-03-29T12:00:10Z"), "0 s ago");
});
