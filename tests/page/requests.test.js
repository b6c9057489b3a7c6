// Requests and polls: the limits are asked for until they are known, failures are named, and what
// the page says of its connection.

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { connectionName, retryText, staleText } from "../../api/static/connection.js";
import { verdictParts } from "../../api/static/fleet_efficiency.js";
import { ask, pathSegment } from "../../api/static/http.js";
import { askLimits, limitsKnown } from "../../api/static/limits.js";
import { pollsState, retryDelayMs } from "../../api/static/polling.js";
import { countNewer, listPath, newestFirst } from "../../api/static/rejected_readings.js";
import { sessionDuration } from "../../api/static/vehicle_sessions.js";

const LIMITS = { lowEfficiency: 0.85, impossibleEfficiency: 1 };
const NOW = 1_000_000;

const answers = (body, options = {}) =>
  mock.method(globalThis, "fetch", async () => Response.json(body, options));

afterEach(() => mock.restoreAll());

test("limits that could not be asked for are asked for again, and then never more", async () => {
  mock.method(globalThis, "fetch", () => Promise.reject(new TypeError("refused")));
  await assert.rejects(askLimits(null), { name: "ApiError", message: "The API cannot be reached" });
  mock.restoreAll();
  const fetch = answers(LIMITS);
  assert.deepEqual(await askLimits(null), LIMITS);
  assert.deepEqual(await askLimits(null), LIMITS);
  assert.deepEqual(await limitsKnown, LIMITS);
  assert.equal(fetch.mock.callCount(), 1);
});

test("an answer has its body, and whether there is more", async () => {
  answers([1], { headers: { Link: "</next>; rel=next" } });
  assert.deepEqual(await ask("/"), { body: [1], more: true });
  mock.restoreAll();
  answers([]);
  assert.deepEqual(await ask("/"), { body: [], more: false });
});

test("an error has its message, its details and when to ask again", async () => {
  const details = [{ field: "limit", message: "is too large" }];
  answers({ message: "Bad request", details }, { status: 400 });
  await assert.rejects(ask("/"), { status: 400, message: "Bad request: limit is too large" });
  mock.restoreAll();
  answers({ message: "Busy" }, { status: 503, headers: { "Retry-After": "7" } });
  await assert.rejects(ask("/"), { status: 503, message: "Busy", retryAfterMs: 7000 });
  mock.restoreAll();
  mock.method(globalThis, "fetch", async () => new Response("<html>", { status: 502 }));
  await assert.rejects(ask("/"), { message: "An answer nobody can read, status 502" });
});

test("ids that browsers resolve as paths are not asked for", () => {
  assert.equal(pathSegment("a/b?"), "a%2Fb%3F");
  for (const id of [".", ".."]) assert.throws(() => pathSegment(id), { name: "ApiError" });
});

test("delays double with each failure up to a minute, and respect Retry-After", () => {
  assert.equal(retryDelayMs(4000, 1, 0, 0), 4000);
  assert.equal(retryDelayMs(4000, 3, 0, 0), 16_000);
  assert.equal(retryDelayMs(4000, 30, 0, 0), 60_000);
  assert.equal(retryDelayMs(4000, 1, 0, 0.5), 4400);
  assert.equal(retryDelayMs(4000, 1, 90_000, 0.5), 90_000);
});

test("the page is live while all polls are answered, and stale otherwise", () => {
  const poll = (shownAt, error = null, nextAt = null) => ({ shownAt, error, nextAt });
  const error = new Error("The API cannot be reached");
  const waiting = pollsState([poll(null), poll(null)]);
  assert.equal(connectionName(waiting, NOW), "");
  const live = pollsState([poll(NOW - 5), poll(NOW)]);
  assert.deepEqual([connectionName(live, NOW), live.shownAt], ["live", NOW]);
  assert.equal(connectionName(live, NOW + 120_001), "stale");
  const partly = pollsState([poll(NOW), poll(NOW - 9, error, NOW + 8000)]);
  assert.equal(connectionName(partly, NOW), "stale");
  assert.equal(staleText(partly), "Not all of it is live");
  assert.match(retryText(partly, NOW), /^last answer .*, next try in 8 s$/);
  const down = pollsState([poll(null, error)]);
  assert.equal(staleText(down), "Not live: The API cannot be reached");
  assert.equal(retryText(down, NOW), "no answer yet, next try now");
});

test("the fleet's verdict names the worst vehicle", () => {
  const verdict = (counts, vehicles, low = vehicles.length) =>
    verdictParts(
      { ...counts, vehicles, alertCounts: { lowEfficiency: low } },
      LIMITS,
      (id) => `[${id}]`,
    ).join("");
  const charged = { vehicleCount: 3, metrics: { chargingSessions: 5 } };
  const vehicle = (efficiencyRatio) => ({ vehicleId: "V", metrics: { efficiencyRatio } });
  const none = { vehicleCount: 0, metrics: { chargingSessions: 0 } };
  assert.match(verdict(none, []), /^No vehicle has reported or charged/);
  assert.match(verdict({ ...none, vehicleCount: 1 }, []), /^No vehicle has charged/);
  assert.equal(verdict(charged, []), "✓ No vehicle is under 85 %.");
  assert.match(verdict(charged, [vehicle(1.2)], 0), /^✕ 1 vehicle delivered more than/);
  assert.equal(
    verdict(charged, [vehicle(0.7)]),
    "✕ 1 of 3 vehicles are under 85 %. The worst is [V]: only 70.0 % of the energy drawn " +
      "reached its battery. Under 85 % means a fault or a leak.",
  );
  assert.match(verdict(charged, [vehicle(0.85)]), /only just under 85 % of the energy/);
});

test("rejected readings are listed once each, the newest first", () => {
  const readings = [{ id: 1, old: true }, { id: 3 }, { id: 1 }];
  assert.deepEqual(newestFirst(readings), [{ id: 3 }, { id: 1 }]);
  assert.equal(countNewer([{ id: 3 }, { id: 2 }], [{ id: 2 }]), 1);
  assert.ok(!listPath("").includes("reason"));
  assert.ok(listPath("too_old").endsWith("&reason=too_old"));
});

test("a session's duration says how it ended when nobody ended it", () => {
  const session = { durationMinutes: 65, isActive: false, endReason: "api" };
  assert.equal(sessionDuration(session), "1 h 05 min");
  assert.equal(sessionDuration({ ...session, isActive: true }), "1 h 05 min, still charging");
  const silent = sessionDuration({ ...session, endReason: "timeout" });
  assert.equal(silent, "1 h 05 min, ended by silence");
});
