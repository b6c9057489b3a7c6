// The judgement of ratios by the API's limits, and where a fault is suspected.

import assert from "node:assert/strict";
import { test } from "node:test";
import { markName } from "../../api/static/day_chart.js";
import {
  isImpossibleHour,
  isLowHour,
  judgement,
  lowWords,
  outsideSessionsText,
  suspectedFault,
  withCertainty,
} from "../../api/static/efficiency.js";

const LIMITS = { lowEfficiency: 0.85, impossibleEfficiency: 1 };
const LOW = [{ code: "low_efficiency", certain: true }];
const IMPOSSIBLE = [{ code: "impossible_efficiency", certain: true }];

const figures = (efficiencyRatio, alerts = [], quality = "complete") => ({
  metrics: { efficiencyRatio },
  coverage: { quality },
  alerts,
});
const hour = (efficiency, energyAc, energyDc) => ({
  efficiency,
  energyAc,
  energyDc,
  certain: true,
});
const session = (meterId, alerts = [], quality = "complete") => ({
  meterId,
  alerts,
  coverage: { quality },
});

test("a ratio is judged by the API's alerts, not by how it prints", () => {
  assert.deepEqual(judgement(figures(0.7, LOW), LIMITS), ["under 85 %", "bad"]);
  assert.deepEqual(judgement(figures(0.85, LOW), LIMITS), ["just under 85 %", "bad"]);
  assert.deepEqual(judgement(figures(0.85), LIMITS), ["not under 85 %", "good"]);
  assert.deepEqual(judgement(figures(1.2, IMPOSSIBLE), LIMITS), ["over 100 %: impossible", "bad"]);
  const just = ["just over 100 %: impossible", "bad"];
  assert.deepEqual(judgement(figures(1, IMPOSSIBLE), LIMITS), just);
});

test("a ratio on partial readings is no more than a warning, and never good", () => {
  const fine = judgement(figures(0.9, [], "partial"), LIMITS);
  assert.deepEqual(fine, ["not under 85 %, but uncertain", ""]);
  const unsure = (alerts) => alerts.map((alert) => ({ ...alert, certain: false }));
  const low = judgement(figures(0.7, unsure(LOW), "partial"), LIMITS);
  assert.deepEqual(low, ["under 85 %, but uncertain", "warn"]);
  const impossible = judgement(figures(1.2, unsure(IMPOSSIBLE), "partial"), LIMITS);
  assert.deepEqual(impossible, ["over 100 %: impossible, but uncertain", "warn"]);
});

test("what rests on nothing is not judged", () => {
  const none = ["no alert without readings of both sides", ""];
  assert.deepEqual(judgement(figures(0.2, [], "none"), LIMITS), none);
  assert.deepEqual(judgement(figures(null), LIMITS), ["nothing was charged", ""]);
});

test("words and hours follow the limits", () => {
  const limits = { lowEfficiency: 0.9, impossibleEfficiency: 1.05 };
  assert.equal(lowWords(0.88, limits), "under 90 %");
  assert.ok(isLowHour(hour(0.88, 10, 8.8), limits));
  assert.ok(!isImpossibleHour(hour(1.04, 10, 10.4), limits));
  assert.equal(judgement(figures(1.1, IMPOSSIBLE), limits)[0], "over 105 %: impossible");
});

test("the energies judge an hour whose ratio prints as the limit", () => {
  assert.ok(isLowHour(hour(0.85, 10, 8.499), LIMITS));
  assert.ok(!isLowHour(hour(0.85, 10, 8.5), LIMITS));
  assert.ok(!isLowHour(hour(0.85, 10, 8.501), LIMITS));
  assert.ok(isImpossibleHour(hour(1, 10, 10.001), LIMITS));
  assert.ok(!isImpossibleHour(hour(1, 10, 10), LIMITS));
});

test("an hour without a ratio is neither low nor impossible; zero is low", () => {
  assert.ok(!isLowHour(hour(null, 0, 0), LIMITS));
  assert.ok(!isImpossibleHour(hour(null, 0, 3), LIMITS));
  assert.ok(isLowHour(hour(0, 5, 0), LIMITS));
});

test("the chart marks an hour of hardly any energy as little", () => {
  assert.equal(markName(hour(0.2, 0.5, 0.1), 1, LIMITS), "little");
  assert.equal(markName(hour(0.2, 1, 0.2), 1, LIMITS), "too-low");
  assert.equal(markName(hour(1.2, 1, 1.2), 1, LIMITS), "too-low");
  assert.equal(markName(hour(0.9, 1, 0.9), 1, LIMITS), "fine");
});

test("an hour is certain by its vehicle's figures, or by all sessions that touch it", () => {
  const at = (time) => `2026-01-01T${time}:00Z`;
  const spans = [
    ["08:00", "10:00", "complete"],
    ["10:00", "10:30", "partial"],
    ["12:30", null, "complete"],
  ].map(([startedAt, endedAt, quality]) => ({
    startedAt: at(startedAt),
    endedAt: endedAt && at(endedAt),
    coverage: { quality },
  }));
  const hours = ["08:00", "09:00", "10:00", "11:00", "12:00"].map((time) => ({ hour: at(time) }));
  const certain = (quality) => withCertainty(hours, spans, { quality }).map((one) => one.certain);
  assert.deepEqual(certain("partial"), [true, true, false, false, true]);
  assert.deepEqual(certain("complete"), [true, true, true, true, true]);
  const unsure = { ...hour(0.2, 1, 0.2), certain: false };
  assert.equal(markName(unsure, 1, LIMITS), "too-low unsure");
});

test("the charger is suspected when all low sessions have it in common", () => {
  const low = [session("M-1", LOW), session("M-1", LOW)];
  assert.equal(
    suspectedFault([...low, session("M-2")], LIMITS),
    "2 sessions under 85 %, at charger M-1, and not elsewhere: look at that charger first.",
  );
  const nowhereElse =
    "2 sessions under 85 %, at charger M-1; it charged nowhere else: " +
    "look at the charger, then at the vehicle.";
  assert.equal(suspectedFault(low, LIMITS), nowhereElse);
  assert.equal(suspectedFault([...low, session("M-2", [], "none")], LIMITS), nowhereElse);
});

test("the vehicle is suspected when several chargers are low, and nothing without low ones", () => {
  const low = [session("M-1", LOW), session("M-2", LOW)];
  assert.equal(suspectedFault(low, LIMITS), "It is low at 2 chargers: look at the vehicle first.");
  assert.equal(suspectedFault([session("M-1"), session("M-2", IMPOSSIBLE)], LIMITS), "");
  assert.equal(suspectedFault([], LIMITS), "");
});

test("energy outside of sessions in words", () => {
  assert.equal(outsideSessionsText({ dcEnergyOutsideSessions: 0 }), "all of it in sessions");
  const outside = outsideSessionsText({ dcEnergyOutsideSessions: 2.5 });
  assert.equal(outside, "and 2.5 kWh outside sessions");
});
