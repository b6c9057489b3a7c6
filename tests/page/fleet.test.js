// What the page makes of the fleet's figures: no alert is good only where something was judged, and a
// list that was cut is not taken for all there is.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alertGroups,
  alertText,
  cutText,
  furtherAlerts,
  headingText,
} from "../../api/static/fleet_alerts.js";
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
import { alertMeaning, uncertainText } from "../../api/static/vehicle_alerts.js";

const LIMITS = { lowEfficiency: 0.85, impossibleEfficiency: 1 };
const COVERAGE = { quality: "complete", dcEnergyOutsideSessions: 0 };
const vehicle = (efficiencyRatio, certain = true) => ({
  vehicleId: "V",
  metrics: { efficiencyRatio, totalEnergyConsumedAc: 10, totalEnergyDeliveredDc: 7 },
  alerts: [{ code: "low_efficiency", message: "Low", certain, why: certain ? undefined : "Gaps" }],
});

const NONE = { lowEfficiency: 0, impossibleEfficiency: 0, implausibleEnergy: 0 };

// A fleet's answer: how many vehicles are low or impossible for certain, fine, and unjudged, each for
// one reason; and how many have which alert without being certain.
function fleetOf({ low = 0, impossible = 0, fine = 0, vehicles = [], unsure = {}, ...more }) {
  const uncertain = { ...NONE, ...unsure };
  const { noSession = 0, noReadings = 0, noEnergy = 0, sessions = 5, ...fields } = more;
  return {
    vehicleCount:
      low + uncertain.lowEfficiency + impossible + fine + noSession + noReadings + noEnergy,
    metrics: { chargingSessions: sessions, efficiencyRatio: 0.9 },
    coverage: COVERAGE,
    alerts: [],
    alertCounts: {
      lowEfficiency: low + uncertain.lowEfficiency,
      impossibleEfficiency: impossible + uncertain.impossibleEfficiency,
      implausibleEnergy: uncertain.implausibleEnergy,
    },
    certainAlertCounts: { ...NONE, lowEfficiency: low, impossibleEfficiency: impossible },
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
    "✕ 1 of 3 judged vehicles is under 85 %. The worst is [V]: only 70.0 % of the energy drawn " +
      "reached its battery. Under 85 % means a fault or a leak.",
  );
  assert.match(
    verdict({ low: 2, fine: 2, noSession: 4, vehicles: [vehicle(0.7)] }),
    /^✕ 2 of 4 judged vehicles are/,
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

test("an uncertain alert is no fault yet, and never hides a certain one", () => {
  const unsure = { lowEfficiency: 2 };
  const fleet = { fine: 1, unsure, vehicles: [vehicle(0.7, false)] };
  assert.equal(fleetJudged(fleetOf(fleet)), "warn");
  assert.equal(
    verdict(fleet),
    "▲ 2 vehicles may be under 85 %. The lowest is [V]: 70.0 %. " +
      "No alert is certain, since the figures behind them are not complete.",
  );
  assert.deepEqual(lowShown(fleetOf(fleet)).slice(0, 3), [
    "2",
    "of 3 judged, none for certain",
    "warn",
  ]);
  const both = { low: 1, unsure: { ...unsure, implausibleEnergy: 1 }, vehicles: [vehicle(0.7)] };
  assert.equal(fleetJudged(fleetOf(both)), "bad");
  assert.match(verdict(both), /^✕ 1 of 3 judged vehicles is under 85 %/);
  const others = / Uncertain: 2 vehicles may be under 85 %, 1 vehicle with implausible readings\.$/;
  assert.match(verdict(both), others);
  assert.equal(lowShown(fleetOf(both))[1], "of 3 judged, 1 for certain");
});

test("certain and uncertain alerts are listed apart", () => {
  const vehicles = [vehicle(0.7), vehicle(0.6, false), vehicle(0.8)];
  const [certain, uncertain] = alertGroups(
    fleetOf({ low: 2, unsure: { lowEfficiency: 1 }, vehicles }),
  );
  assert.deepEqual(certain, { vehicles: [vehicles[0], vehicles[2]], isCut: false, all: 2 });
  assert.deepEqual(uncertain, { vehicles: [vehicles[1]], isCut: false, all: 1 });
  assert.equal(headingText("Certain", certain), "Certain: 2 vehicles");
  assert.equal(alertText(vehicles[0]), "Low: 3.0 kWh never reached the battery");
  assert.equal(alertText(vehicles[1]), "Low. Uncertain: Gaps");
});

test("each alert is asked for where there is any, certain or not", () => {
  assert.deepEqual(furtherAlerts(fleetOf({ low: 3 })), []);
  const unsure = { lowEfficiency: 1, impossibleEfficiency: 1, implausibleEnergy: 1 };
  assert.deepEqual(furtherAlerts(fleetOf({ impossible: 1, unsure })), [
    ["low_efficiency", false],
    ["impossible_efficiency", true],
    ["impossible_efficiency", false],
    ["implausible_energy", false],
  ]);
});

test("a list says that it was cut, and of how many where somebody knows", () => {
  const vehicles = [vehicle(0.7), vehicle(0.8)];
  const [certain] = alertGroups(fleetOf({ low: 1234, vehicles }));
  assert.equal(cutText(certain), "The worst 2 of 1,234 are listed.");
  const unsure = { lowEfficiency: 101, implausibleEnergy: 1 };
  const [, uncertain] = alertGroups(fleetOf({ unsure, vehicles: [vehicle(0.7, false)] }));
  assert.equal(uncertain.all, null);
  assert.equal(cutText(uncertain), "The worst 1 are listed.");
  assert.equal(headingText("Uncertain", uncertain), "Uncertain: at least 1 vehicle");
});

test("the note says what is being redone", () => {
  assert.doesNotMatch(noteText(fleetOf({ low: 1 })), /added up again/);
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

const LOW = { code: "low_efficiency", message: "Low", certain: true };
const meaning = (alert, more = false) => {
  const metrics = { totalEnergyConsumedAc: 10, totalEnergyDeliveredDc: 7 };
  const sessions = [{ meterId: "M", alerts: [LOW], coverage: COVERAGE }];
  return alertMeaning(alert, { metrics, alerts: [LOW] }, { sessions, more }, LIMITS);
};

test("no charger is suspected by some of the sessions alone", () => {
  assert.match(meaning(LOW), /at charger M/);
  assert.doesNotMatch(meaning(LOW, true), /charger/);
});

test("what is not certain says why, and what it would mean", () => {
  const alert = { ...LOW, certain: false, why: "rejected readings: 20" };
  assert.equal(uncertainText(alert), "Uncertain: Low. Why: rejected readings: 20.");
  assert.match(meaning(alert), /^Should it be true: 3\.0 kWh of 10\.0 kWh did not reach/);
});

test("a pace that is wrong says how to set it", () => {
  const text = meaning({ code: "cadence_mismatch", message: "Every 10 s", certain: true });
  assert.match(text, /POST \/v1\/devices\/adopt-cadence .* reportSeconds .* Past figures change/);
  assert.match(
    meaning({ code: "implausible_energy", certain: false }),
    /capacityKw or maxChargeKw/,
  );
});
