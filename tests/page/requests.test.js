// Requests and polls: the limits are asked for until they are known, failures are named, and what
// the page says of its connection.

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { connectionName, retryText, staleText } from "../../api/static/connection.js";
import { SessionFigures, sessionDuration } from "../../api/static/device_sessions.js";
import { ask, pathSegment } from "../../api/static/http.js";
import { askLimits, limitsKnown } from "../../api/static/limits.js";
import { pollsState, retryDelayMs } from "../../api/static/polling.js";

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

test("a session's duration says how it ended when nobody ended it", () => {
  const session = { durationMinutes: 65, isActive: false, endReason: "api" };
  assert.equal(sessionDuration(session), "1 h 05 min");
  assert.equal(sessionDuration({ ...session, isActive: true }), "1 h 05 min, still charging");
  const silent = sessionDuration({ ...session, endReason: "timeout" });
  assert.equal(silent, "1 h 05 min, ended by silence");
});

test("the figures of a session that ended long ago are asked for again, but less often", async () => {
  mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-01-01T12:00:00Z") });
  const old = {
    sessionId: "1",
    startedAt: "2026-01-01T09:00:00Z",
    endedAt: "2026-01-01T10:00:00Z",
  };
  const young = { ...old, sessionId: "2", endedAt: "2026-01-01T11:30:00Z" };
  const figures = new SessionFigures();
  let energyAc = 1;
  const fetch = mock.method(globalThis, "fetch", async (path) =>
    Response.json({ ...(path.endsWith("1") ? old : young), energyAc }),
  );
  const asked = async (session) => (await figures.ask(session, null)).energyAc;
  assert.deepEqual([await asked(old), await asked(young)], [1, 1]);
  energyAc = 2; // A late reading came in.
  assert.deepEqual([await asked(old), await asked(young)], [1, 2]);
  assert.equal(fetch.mock.callCount(), 3);
  mock.timers.tick(120_000);
  assert.equal(await asked(old), 2);
  energyAc = 3;
  old.endedAt = "2026-01-01T10:30:00Z"; // Corrected: what is kept is of other times.
  assert.equal(await asked({ ...old }), 3);
  mock.timers.reset();
});
