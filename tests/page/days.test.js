// The fleet day by day: since when it is low, and how sure that is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { timeScale } from "../../api/static/chart_scales.js";
import { dayMark, daysBetweenNames, hasRatio } from "../../api/static/days_chart.js";
import { daysText } from "../../api/static/fleet_days.js";
import { DAY_MS } from "../../api/static/time_window.js";

const LIMITS = { lowEfficiency: 0.85, impossibleEfficiency: 1 };

// Days in January 2026, by a letter each: L low, l perhaps low, F fine, f perhaps fine, N rests on
// nothing, and a blank for a day on which nobody charged.
function daysOf(letters) {
  return [...letters].flatMap((letter, place) => {
    if (letter === " ") return [];
    const isLow = "Ll".includes(letter);
    const quality = { N: "none", l: "partial", f: "partial" }[letter] ?? "complete";
    return {
      start: `2026-01-${String(place + 1).padStart(2, "0")}T00:00:00Z`,
      metrics: { efficiencyRatio: isLow ? 0.7 : 0.9 },
      coverage: { quality },
      alerts: isLow ? [{ code: "low_efficiency", certain: quality === "complete" }] : [],
    };
  });
}
const said = (letters) => daysText(daysOf(letters), LIMITS);

test("the days say how many are low for certain, since when, and how many perhaps", () => {
  assert.equal(said("FFf F"), "✓ Not under 85 % on any of 4 judged days.");
  assert.equal(said("FFLFF"), "✕ Under 85 % on 1 of 5 judged days.");
  assert.equal(said("FLF LNLL"), "✕ Under 85 % on 4 of 6 judged days, on each since 2026-01-05.");
  assert.equal(said("LL"), "✕ Under 85 % on 2 of 2 judged days, on each since 2026-01-01.");
  assert.equal(said("FFl"), "▲ Perhaps under 85 % on 1 of 3 judged days, which are uncertain.");
  assert.match(said("FLlF"), /^✕ .* on 1 of 4 judged days\. ▲ Perhaps under 85 % on 1 more, /);
  assert.match(said("N"), /^No day can be judged/);
});

test("only a day of which it is certain is marked as a fault", () => {
  const marks = daysOf("LlFf").map(dayMark);
  assert.deepEqual(marks, ["too-low", "too-low unsure", "fine", "fine unsure"]);
  assert.deepEqual(daysOf("FN").map(hasRatio), [true, false]);
});

test("a slot is a day, and days are named as far as there is room", () => {
  const scale = timeScale({ start: 0, end: 30.5 * DAY_MS, left: 0, right: 310, slotMs: DAY_MS });
  assert.deepEqual([scale.slots, scale.step, scale.at(DAY_MS)], [31, 10, 10]);
  assert.deepEqual([56, 30, 20, 10].map(daysBetweenNames), [1, 2, 3, 7]);
});
