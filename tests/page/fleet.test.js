// What the page makes of the fleet's figures: no alert is good only where something was judged, and a
// list that was cut is not taken for all there is.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fleetJudged,
  fleetJudgement,
  lowShown,
  noteText,
  unjudgedText,
  verdictParts,
} from "../../api/static/fleet_efficiency.js";
import { nobodyText, silenceShown } from "../../api/static/silent_devices.js";
import { showMore } from "../../api/static/table.js";
import { alertExplanation } from "../../api/static/vehicle_view.js";

const LIMITS = { lowEfficiency: 0.85, impossibleEfficiency: 1 };
const COVERAGE = { quality: "complete", dcEnergyOutsideSessions: 0 };
const vehicle = (efficiencyRatio) => ({ vehicleId: "V", metrics: { efficiencyRatio } });

// A fleet's answer: how many vehicles are low, impossible, fine, and unjudged, each for one reason.
function fleetOf({ low = 0, impossible = 0, fine = 0, vehicles = [], ...more }) {
  const { noSession = 0, noReadings = 0, noEnergy = 0, sessions = 5, ...fields } = more;
  return {
    vehicleCount: low + impossible + fine + noSession + noReadings + noEnergy,
    metrics: { chargingSessions: sessions, efficiencyRatio: 0.9 },
    coverage: COVERAGE,
    alerts: [],
    alertCounts: { lowEfficiency: low, impossibleEfficiency: impossible },
    unjudgedCounts: { noSession, noReadings, noEnergy },
    vehicles,
    period: { start: "2026-01-01T00:00:00Z" },
    asOf: new Date().toISOString(),
    beingRedone: false,
    ...fields,
  };
}

const verdict = (fleet) => verdictParts(fleetOf(fleet), LIMITS, (id) => `[${id}]`).join("");

test("no alert is good where something was judged, and nothing where nothing was", () => {
  assert.equal(fleetJudged(fleetOf({ fine: 1 })), "good");
  assert.equal(fleetJudged(fleetOf({ low: 1, fine: 1 })), "bad");
  assert.equal(fleetJudged(fleetOf({ impossible: 1 })), "bad");
  for (const fleet of [{}, { noSession: 3, sessions: 0 }, { noReadings: 3 }, { noEnergy: 1 }]) {
    assert.equal(fleetJudged(fleetOf(fleet)), "");
    assert.doesNotMatch(verdict(fleet), /✓/);
    assert.deepEqual(lowShown(fleetOf(fleet)).slice(0, 3), ["–", "no vehicle can be judged", ""]);
    const judged = fleetJudgement(fleetOf(fleet), LIMITS);
    assert.deepEqual(judged, ["no vehicle can be judged", ""]);
  }
});

test("the verdict says of whom nothing can be said", () => {
  assert.match(verdict({}), /^No vehicle has reported or charged/);
  assert.match(verdict({ noSession: 1, sessions: 0 }), /^No vehicle has charged/);
  assert.equal(verdict({ fine: 3, noSession: 4 }), "✓ None of 3 judged vehicles is under 85 %.");
  assert.equal(verdict({ noReadings: 2 }), "Nothing can be said of the fleet yet.");
  const ofSums = { fine: 1, noReadings: 1, alerts: [{ code: "low_efficiency" }] };
  assert.equal(verdict(ofSums), "None of 1 judged vehicle is under 85 %.");
  assert.equal(
    unjudgedText({ noReadings: 2, noEnergy: 1 }),
    "▲ Not judged, though they charged: " +
      "2 vehicles without readings of both sides and 1 vehicle without any energy drawn.",
  );
  assert.equal(unjudgedText({ noReadings: 0, noEnergy: 0 }), "");
});

test("the verdict names the worst vehicle, and counts those that are not listed, too", () => {
  assert.match(
    verdict({ impossible: 1234, vehicles: [vehicle(1.2)] }),
    /^✕ 1,234 vehicles delivered/,
  );
  assert.equal(
    verdict({ low: 1, fine: 2, vehicles: [vehicle(0.7)] }),
    "✕ 1 of 3 vehicles are under 85 %. The worst is [V]: only 70.0 % of the energy drawn " +
      "reached its battery. Under 85 % means a fault or a leak.",
  );
  const just = { low: 1, fine: 2, vehicles: [vehicle(0.85)] };
  assert.match(verdict(just), /only just under 85 % of the energy/);
});

test("the tile of low vehicles counts those that were judged", () => {
  const fleet = fleetOf({ low: 2, fine: 8, noSession: 5, noReadings: 1, noEnergy: 1 });
  const more = "2 cannot be judged, 5 did not charge";
  assert.deepEqual(lowShown(fleet), ["2", "of 10 judged", "bad", more]);
  assert.deepEqual(lowShown(fleetOf({ fine: 8 })), ["0", "of 8 judged", "good", ""]);
});

test("the note says what is cut, and what is being redone", () => {
  const cut = noteText(fleetOf({ low: 1234, vehicles: [vehicle(0.7), vehicle(0.8)] }));
  assert.match(cut, /The worst 2 of 1,234 are listed\./);
  assert.doesNotMatch(cut, /added up again/);
  assert.match(noteText(fleetOf({ beingRedone: true })), /until all is added up again/);
});

test("a list that was cut is not all there is", () => {
  assert.equal(showMore(1200, 1200), "Show all 1,200");
  assert.equal(showMore(100, 1234), "Show 100 of 1,234");
  assert.equal(showMore(200, null), "Show the 200 listed");
});

test("nobody is silent where nobody is known", () => {
  const silence = (meters, vehicles, knownMeters, knownVehicles) => ({
    meters,
    vehicles,
    knownMeters,
    knownVehicles,
  });
  const [none, all] = [silence(0, 0, 0, 0), silence(0, 0, 2, 1)];
  assert.deepEqual(silenceShown(none), ["0", "no device is known yet", ""]);
  assert.deepEqual(silenceShown(all), ["0", "all of 3 devices report", "good"]);
  assert.deepEqual(silenceShown(silence(1, 0, 2, 1)), ["1", "1 meter, 0 vehicles", "warn"]);
  assert.match(nobodyText(none), /^No device/);
  assert.match(nobodyText(all), /^Every device/);
});

test("no charger is suspected by some of the sessions alone", () => {
  const low = [{ code: "low_efficiency" }];
  const figures = {
    metrics: { totalEnergyConsumedAc: 10, totalEnergyDeliveredDc: 7 },
    alerts: low,
  };
  const sessions = [{ meterId: "M", alerts: low, coverage: COVERAGE }];
  assert.match(alertExplanation(figures, { sessions, more: false }, LIMITS), /at charger M/);
  assert.doesNotMatch(alertExplanation(figures, { sessions, more: true }, LIMITS), /charger/);
});
