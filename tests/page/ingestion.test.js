// The rate of readings, and what the tiles of ingestion make of rate, lag and rejected readings.

import assert from "node:assert/strict";
import { test } from "node:test";
import { lagShown, rateShown, rejectedShown } from "../../api/static/ingestion.js";
import {
  linePoints,
  ReadingRate,
  rejectedByReason,
  sumTopics,
} from "../../api/static/reading_rate.js";

const topic = (read, lag, byReason = {}) => ({
  read,
  lag,
  rejected: { total: Object.values(byReason).reduce((sum, n) => sum + n, 0), byReason },
});
const stats = (...topics) => ({ timestamp: "2026-01-01T00:00:10Z", topics });
const sample = (seconds, read) => ({ at: seconds * 1000, read });

test("the topics' counts are added up", () => {
  const at = Date.parse("2026-01-01T00:00:10Z");
  assert.deepEqual(sumTopics(stats(topic(5, 1, { invalid: 2 }), topic(7, 0))), {
    at,
    read: 12,
    rejected: 2,
    lag: 1,
  });
  assert.equal(sumTopics(stats(topic(5, null), topic(7, 3))).lag, null);
  assert.deepEqual(sumTopics(stats()), { at, read: 0, rejected: 0, lag: 0 });
});

test("one sample has no rate, two have one", () => {
  const rate = new ReadingRate();
  assert.equal(rate.add(sample(0, 100)), null);
  assert.equal(rate.add(sample(4, 300)), 50);
  assert.equal(rate.add(sample(8, 300)), 25);
  assert.deepEqual(rate.rates, [50, 25]);
});

test("only the last half minute counts", () => {
  const rate = new ReadingRate();
  rate.add(sample(0, 0));
  rate.add(sample(10, 1000));
  assert.equal(rate.add(sample(40, 1000)), 0);
  assert.equal(rate.add(sample(140, 1100)), 1);
});

test("measuring begins again when counts or times go back or stand still", () => {
  const rate = new ReadingRate();
  rate.add(sample(0, 100));
  assert.equal(rate.add(sample(4, 50)), null);
  assert.equal(rate.add(sample(4, 60)), null);
  assert.equal(rate.add(sample(2, 70)), null);
  assert.equal(rate.add(sample(3, 80)), 10);
});

test("a line reaches from the bottom to the highest rate", () => {
  assert.equal(linePoints([0, 5, 10], 160, 28), "0.0,27.0 80.0,14.0 160.0,1.0");
  assert.equal(linePoints([4], 160, 28), "0.0,1.0");
  assert.equal(linePoints([0, 0], 160, 28), "0.0,27.0 160.0,27.0");
  assert.equal(linePoints([], 160, 28), "");
});

test("no reading is bad when some wait in Kafka", () => {
  assert.deepEqual(rateShown(null, { read: 0, lag: 0 }), ["measuring …", "0 read so far", ""]);
  assert.deepEqual(rateShown(12.4, { read: 1000, lag: 3 }), ["12", "1,000 read so far", ""]);
  const idle = ["0", "nothing comes in; 5 read so far", "warn"];
  assert.deepEqual(rateShown(0, { read: 5, lag: 0 }), idle);
  assert.deepEqual(rateShown(0, { read: 5, lag: null }), idle);
  const stuck = ["0", "readings wait, no worker takes them", "bad"];
  assert.deepEqual(rateShown(0, { read: 5, lag: 9 }), stuck);
});

test("a lag is notable from ten seconds of readings on", () => {
  const shown = (lag, perSecond, read = 5) => lagShown({ lag, read }, perSecond);
  assert.deepEqual(shown(null, 5), ["unknown", "Kafka does not answer", "bad"]);
  assert.deepEqual(shown(0, null), ["0", "records: the workers keep up", "good"]);
  assert.deepEqual(shown(0, null, 0), ["0", "records: none came in yet", ""]);
  assert.deepEqual(shown(100, 10), ["100", "records on their way", ""]);
  assert.deepEqual(shown(101, 10), ["101", "records: the workers are behind", "warn"]);
  assert.deepEqual(shown(1000, null), ["1,000", "records on their way", ""]);
});

test("rejected readings are listed by reason, the most frequent first", () => {
  const found = stats(topic(0, 0, { too_old: 1, invalid: 2 }), topic(0, 0, { too_old: 4 }));
  assert.deepEqual(rejectedByReason(found), [
    ["too_old", 5],
    ["invalid", 2],
  ]);
  const all = ["7", "too old 5, invalid 2", ""];
  assert.deepEqual(rejectedShown({ rejected: 7, read: 0 }, found), all);
  const none = ["0", "nothing was rejected", "good"];
  assert.deepEqual(rejectedShown({ rejected: 0, read: 1 }, stats()), none);
  const nothing = ["0", "nothing was read yet", ""];
  assert.deepEqual(rejectedShown({ rejected: 0, read: 0 }, stats()), nothing);
});
