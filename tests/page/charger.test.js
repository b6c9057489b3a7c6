// A charger's view: whether the charger or a car loses energy, since when, and how sure that is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { elsewhereText, meaningText } from "../../api/static/charger_vehicles.js";
import {
  chargerOrCar,
  kindOf,
  lowStretch,
  sinceText,
  withElsewhere,
} from "../../api/static/charger_verdict.js";
import { basisText, stateTexts } from "../../api/static/charger_view.js";
import { flagText, verdictText } from "../../api/static/chargers_view.js";
import { worstParts } from "../../api/static/fleet_chargers.js";

const LIMITS = { lowEfficiency: 0.85, impossibleEfficiency: 1 };
const alertsOf = (ratio, quality) => {
  const certain = quality === "complete";
  const why = certain ? {} : { why: "Gaps" };
  return ratio < 0.85 ? [{ code: "low_efficiency", message: "Low", certain, ...why }] : [];
};

const figures = (efficiencyRatio, quality = "complete", totalEnergyConsumedAc = 10) => ({
  metrics: {
    efficiencyRatio,
    totalEnergyConsumedAc,
    totalEnergyDeliveredDc: 7,
    chargingSessions: 1,
  },
  coverage: { quality },
  alerts: efficiencyRatio === null ? [] : alertsOf(efficiencyRatio, quality),
});

// A vehicle on the charger by how it does here and elsewhere; null where it has no ratio.
const vehicle = (vehicleId, here, elsewhere, quality = "complete") => ({
  vehicleId,
  ...figures(here, quality),
  elsewhere: { efficiencyRatio: elsewhere, energyAc: 5, chargers: elsewhere === null ? 0 : 2 },
});

function said(vehicles, whole = figures(0.8)) {
  const { judged, parts, sure } = chargerOrCar({ ...whole, vehicles }, LIMITS, (id) => `[${id}]`);
  return [judged, parts.join(""), sure];
}

const A = vehicle("A", 0.7, 0.9);
const B = vehicle("B", 0.75, 0.92);
const UNSURE = vehicle("U", 0.7, 0.9, "partial");
const CAR = vehicle("C", 0.7, 0.71);
const FINE = vehicle("F", 0.9, 0.9);
const NEW = vehicle("N", 0.7, null);

test("several that are low here alone: the charger", () => {
  assert.deepEqual(said([A, B, FINE]), [
    "bad",
    "✕ The charger: 2 of 3 vehicles are under 85 % here, and all of these are fine elsewhere.",
    "How sure: quite, all 2 figures behind it are complete.",
  ]);
  const [, withCar] = said([A, B, CAR]);
  assert.match(withCar, /and 2 are fine elsewhere\. Besides, look at \[C\]: low elsewhere, too\./);
});

test("who charged nowhere else since the charger is low is compared with the time before", () => {
  const since = [vehicle("C", 0.76, null), A, vehicle("N", 0.7, null)];
  const before = [vehicle("C", 0.76, 0.75), vehicle("A", 0.8, 0.5), NEW];
  const known = withElsewhere(since, before);
  assert.deepEqual(
    known.map((one) => kindOf(one, LIMITS)),
    ["everywhere", "here", "unknown"],
  );
  const [, text] = said(withElsewhere([vehicle("C", 0.76, null)], before));
  assert.match(text, /^▲ Rather the car: \[C\] is under 85 % here and elsewhere\./);
});

test("what rests on partial readings is never said for certain", () => {
  const [judged, text, sure] = said([A, UNSURE]);
  assert.equal(judged, "warn");
  assert.match(text, /^▲ The charger: /);
  assert.equal(sure, "How sure: not quite, of the 2 figures behind it 1 is complete.");
  assert.equal(said([A, B, UNSURE])[0], "bad");
});

test("one that is low everywhere: the car", () => {
  assert.deepEqual(said([CAR, FINE]).slice(0, 2), [
    "warn",
    "▲ The car, not the charger: [C] is under 85 % here and elsewhere, while 1 other vehicle is fine here.",
  ]);
  assert.match(said([CAR])[1], /^▲ Rather the car: \[C\].*cannot be told: nobody is fine here\.$/);
});

test("too few to tell, or one that is low here beside others that are fine, is said so", () => {
  assert.match(said([A])[1], /^▲ Rather the charger: \[A\].* One vehicle is too few to be sure\.$/);
  assert.match(
    said([A, FINE])[1],
    /^▲ Neither alone: \[A\] is low here and fine elsewhere, but 1 /,
  );
  assert.match(said([NEW])[1], /^▲ Too few to tell: \[N\] is under 85 % here, and charged nowhere/);
  assert.match(said([NEW, NEW, NEW])[1], /^▲ Rather the charger: all 3 vehicles are under 85 %/);
  assert.match(said([NEW, FINE, FINE])[1], /^▲ Rather the car: \[N\] .*2 others are fine here/);
  const nothing = vehicle("Z", null, 0.9, "none");
  for (const vehicles of [[], [nothing]]) {
    const [judged, text, sure] = said(vehicles);
    assert.deepEqual([judged, sure], ["", ""]);
    assert.match(text, /^Too few to tell/);
  }
});

test("nobody is to blame only where all that was judged is complete", () => {
  const whole = figures(0.9);
  assert.deepEqual(said([FINE, FINE], whole), [
    "good",
    "✓ Neither: none of 2 judged vehicles is under 85 % here.",
    "How sure: quite, all 2 figures behind it are complete.",
  ]);
  const [judged, text] = said([FINE, vehicle("P", 0.9, null, "partial")], whole);
  assert.equal(judged, "");
  assert.match(text, /^Neither/);
  assert.match(said([FINE])[1], /^▲ Too few to tell: together/);
});

test("more than was drawn is the meter's fault", () => {
  const alerts = [{ code: "impossible_efficiency", certain: true }];
  const [judged, text] = said([FINE], { ...figures(1.2), alerts });
  assert.equal(judged, "bad");
  assert.match(text, /^✕ More energy was delivered than this charger drew/);
});

test("a vehicle's row says what the comparison means", () => {
  assert.deepEqual(
    [A, CAR, NEW, FINE].map((one) => kindOf(one, LIMITS)),
    ["here", "everywhere", "unknown", "fine"],
  );
  assert.equal(meaningText(A, LIMITS), "low here alone");
  assert.equal(meaningText(UNSURE, LIMITS), "low here alone, but uncertain: Gaps");
  assert.equal(elsewhereText(A), "90.0 % at 2 chargers");
  assert.equal(elsewhereText(NEW), "nowhere else");
});

const days = (...all) =>
  all.map((day, place) => {
    return { start: `2026-11-${String(place + 1).padStart(2, "0")}T00:00:00Z`, ...day };
  });

test("since when: the first day of the low days that last until now", () => {
  const [low, fine, idle] = [figures(0.7), figures(0.9), figures(null, "none", 0)];
  const unsure = figures(0.7, "partial");
  const since = (...all) => sinceText(lowStretch(days(...all)), LIMITS);
  assert.equal(
    since(fine, fine, low, idle, low),
    "Since 2026-11-03: under 85 % on all 2 days it charged on; 2026-11-02 as a whole was not yet. That is certain.",
  );
  assert.equal(
    since(unsure, low),
    "At least since 2026-11-01, the first day here: under 85 % on all 2 days it charged on. " +
      "It is certain of 1 of them.",
  );
  assert.match(
    since(fine, unsure),
    /on that day; 2026-11-01 as a whole was not yet\. It is certain of none/,
  );
  assert.match(
    since(fine, low, fine, low, low),
    /^Since 2026-11-02: under 85 % on 3 of 4 days it charged on; 2026-11-01 as a whole was not yet\./,
  );
  assert.match(since(low, fine, fine, low), /^Since 2026-11-04: under 85 % on that day/);
  const little = figures(0.9, "complete", 0.5);
  assert.match(since(fine, low, little), /^Since 2026-11-02/);
  assert.equal(
    since(low, fine, idle),
    "Not any more: last under 85 % on 2026-11-01, and fine on 2026-11-02.",
  );
  assert.equal(since(fine, fine), "On none of 2 days with charging under 85 %.");
  assert.equal(since(idle), "");
});

test("what the charger does now, and what its figures rest on", () => {
  const heard = { timestamp: new Date().toISOString() };
  assert.deepEqual(stateTexts({ location: "Bay 4", isActive: true }, heard, { vehicleId: "V" }), [
    "Bay 4. Charging ",
    "; last heard 0 s ago.",
  ]);
  assert.equal(
    stateTexts({ isActive: false }, null, null).join(""),
    "Retired. Not charging; never heard of.",
  );
  const meter = { coverage: { dips: 1, rejectedReadings: 2 } };
  assert.equal(basisText(meter, null), "Its own readings: 2 rejected readings; 1 dip.");
  assert.equal(basisText({ coverage: {} }, figures(0.9)), "Efficiency: complete.");
});

test("the list of chargers counts certain and uncertain ones apart", () => {
  const shown = (low, certain, meterCount = 30) =>
    verdictText(
      {
        meterCount,
        alertCounts: { lowEfficiency: low },
        certainAlertCounts: { lowEfficiency: certain },
      },
      LIMITS,
    );
  assert.deepEqual(shown(3, 2), [
    "✕ 2 of 30 chargers are under 85 %. 1 more charger may be.",
    "bad",
  ]);
  assert.deepEqual(shown(1, 1), ["✕ 1 of 30 chargers is under 85 %.", "bad"]);
  assert.deepEqual(shown(1, 0), [
    "▲ 1 of 30 chargers may be under 85 %; none is for certain.",
    "warn",
  ]);
  assert.match(shown(0, 0)[0], /under 85 % on average/);
  assert.equal(shown(0, 0)[1], "");
  assert.match(shown(0, 0, 0)[0], /^No charger/);
  assert.equal(flagText(UNSURE), "Low. Uncertain: Gaps");
  assert.equal(flagText(A), "Low");
});

test("the fleet's view names the worst charger, if it is low", () => {
  const link = (id) => `[${id}]`;
  const low = {
    meterId: "CP-1",
    metrics: { efficiencyRatio: 0.7 },
    alerts: [{ code: "low_efficiency" }],
  };
  assert.equal(worstParts({ meters: [low] }, link).join(""), "The worst is [CP-1] with 70.0 %.");
  assert.deepEqual(worstParts({ meters: [{ ...low, alerts: [] }] }, link), []);
  assert.deepEqual(worstParts({ meters: [] }, link), []);
});
