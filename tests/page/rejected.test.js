// Rejected readings by their causes: which list is asked for, when it stands still, and where a replay is
// offered or why it is not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newestPath, whyNone, whyNot } from "../../api/static/rejected_group.js";
import { groupsPath, hasMoved, meaningOf, noteText } from "../../api/static/rejected_readings.js";

const group = (more = {}) => ({
  topic: "meters",
  deviceId: "M 1",
  reason: "invalid",
  count: 3,
  latestId: 17,
  replayable: true,
  ...more,
});

test("groups are asked for by reason, and their newest readings by all that they share", () => {
  assert.ok(!groupsPath("").includes("reason"));
  assert.ok(groupsPath("too_old").endsWith("&reason=too_old"));
  assert.match(newestPath(group()), /topic=meters&reason=invalid&deviceId=M\+1&limit=5$/);
  const unknown = newestPath(group({ deviceId: null }));
  assert.match(unknown, /reason=invalid&after=18&limit=50$/); // from the newest of them on
  assert.ok(!unknown.includes("deviceId"));
});

test("a list has moved when its rows are others, not when there are more of the same", () => {
  const [one, other] = [group(), group({ reason: "conflict" })];
  assert.ok(!hasMoved([{ ...one, count: 4, latestId: 20 }, other], [one, other]));
  assert.ok(hasMoved([other, one], [one, other]));
  assert.ok(hasMoved([one], [one, other]));
  assert.equal(noteText([one, other], false), "6 readings in 2 groups.");
  assert.equal(noteText([one], false), "");
  assert.match(noteText([one, other], true), /^The 2 groups with the newest/);
});

test("what a reason means is said of readings alone", () => {
  assert.match(meaningOf({ stream: "meter", reason: "conflict" }), /^other values than the stored/);
  assert.equal(meaningOf({ stream: null, reason: "conflict" }), "");
});

test("a replay is offered where it can help, and else it is said why not", () => {
  assert.equal(whyNone(group()), "");
  const conflict = whyNone(group({ reason: "conflict", replayable: false }));
  assert.match(conflict, /^another reading is stored at that time; correct that one instead/);
  assert.match(whyNone(group({ reason: "malformed", replayable: false })), /send it again/);
  assert.match(whyNone(group({ replayable: false })), /^its topic is none/);
  const reading = { rawBytes: 9, reason: "in_future", readingAt: "2026-01-01T00:00:00Z" };
  assert.equal(whyNot(reading), "");
  assert.match(whyNot({ ...reading, readingAt: "2999-01-01T00:00:00Z" }), /not come yet/);
  assert.equal(whyNot({ ...reading, readingAt: null }), "");
  assert.match(whyNot({ ...reading, rawBytes: null }), /not kept; read its record from Kafka/);
});
