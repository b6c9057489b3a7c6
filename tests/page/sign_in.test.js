// Who uses the page, and what they are told: what each may do, a sign-in that ends, and keys that are
// refused.

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import {
  askCaller,
  isSignedIn,
  mayOperate,
  mayRead,
  signIn,
  signOut,
} from "../../api/static/caller.js";
import { csvPath } from "../../api/static/device_figures.js";
import { ask, onSignedOut } from "../../api/static/http.js";
import { refusalText } from "../../api/static/sign_in.js";

const KEY = "eie_id_secret";
const WHO = { name: "Ann", role: "analyst" };

const answers = (body, options = {}) =>
  mock.method(globalThis, "fetch", async () => Response.json(body, options));

afterEach(() => {
  mock.restoreAll();
  onSignedOut(() => {});
});

test("without keys everybody may do everything; with keys nobody, until they sign in", () => {
  const open = { demanded: false };
  assert.deepEqual([isSignedIn(open), mayRead(open), mayOperate(open)], [false, true, true]);
  const stranger = { demanded: true };
  assert.deepEqual([mayRead(stranger), mayOperate(stranger)], [false, false]);
  for (const demanded of [true, false]) {
    const analyst = { demanded, ...WHO };
    assert.deepEqual(
      [isSignedIn(analyst), mayRead(analyst), mayOperate(analyst)],
      [true, true, false],
    );
    assert.ok(mayOperate({ ...analyst, role: "operator" }));
  }
});

test("a key is sent in a body alone, and never kept", async () => {
  const fetch = answers(WHO, { status: 201 });
  assert.deepEqual(await signIn(KEY), { demanded: true, ...WHO });
  const [path, { method, body, headers }] = fetch.mock.calls[0].arguments;
  assert.deepEqual([path, method], ["/v1/session", "POST"]);
  assert.deepEqual(JSON.parse(body), { key: KEY });
  assert.deepEqual(headers, { "Content-Type": "application/json" });
});

test("signing out has no body", async () => {
  const fetch = mock.method(globalThis, "fetch", async () => new Response(null, { status: 204 }));
  await signOut();
  const [path, { method, body }] = fetch.mock.calls[0].arguments;
  assert.deepEqual([path, method, body], ["/v1/session", "DELETE", undefined]);
});

test("a sign-in that is over is noticed by any question but those about it", async () => {
  let noticed = 0;
  onSignedOut(() => {
    noticed += 1;
  });
  answers({ message: "Sign in" }, { status: 401 });
  await assert.rejects(askCaller(null), { status: 401 });
  await assert.rejects(signIn(KEY), { status: 401, message: "Sign in" });
  assert.equal(noticed, 0);
  await assert.rejects(ask("/v1/telemetry/stats"), { status: 401 });
  assert.equal(noticed, 1);
  mock.restoreAll();
  answers({ message: "A key of role analyst may not do this" }, { status: 403 });
  await assert.rejects(ask("/"), { message: "A key of role analyst may not do this" });
  assert.equal(noticed, 1);
});

test("a key that was refused is told why, and when to try again", async () => {
  const told = async (status, message, headers = {}) => {
    answers({ message }, { status, headers });
    const error = await signIn(KEY).catch((refused) => refused);
    mock.restoreAll();
    return refusalText(error);
  };
  assert.equal(await told(401, "There is no such key"), "There is no such key");
  const text = await told(429, "Too many wrong keys", { "Retry-After": "5" });
  assert.equal(text, "Too many wrong keys. Try again in 5 s.");
});

test("readings as CSV are safe for spreadsheets", () => {
  const window = { start: Date.UTC(2026, 0, 31), end: Date.UTC(2026, 1, 1) };
  const url = new URL(csvPath("vehicles", "=1/?&", window), "http://localhost");
  assert.equal(url.pathname, "/v1/telemetry/vehicles/%3D1%2F%3F%26/history");
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    startTime: "2026-01-31T00:00:00.000Z",
    endTime: "2026-02-01T00:00:00.000Z",
    format: "csv",
    safe: "true",
  });
});
