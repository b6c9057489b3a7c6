// What figures rest on, in the page's words: nothing that is out of the ordinary is left out, and nothing
// is said of what is not there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { basisSentences, coverageText } from "../../api/static/coverage.js";

const coverage = (more = {}) => ({
  quality: "complete",
  sessionSeconds: 3600,
  acSecondsCovered: 3600,
  dcSecondsCovered: 3600,
  estimatedAc: 0,
  estimatedDc: 0,
  counterResets: 0,
  dips: 0,
  spikes: 0,
  implausibleReadings: 0,
  rejectedReadings: 0,
  ...more,
});
const ALL_ODD = {
  quality: "partial",
  estimatedAc: 20,
  estimatedDc: 0.0004,
  implausibleReadings: 1,
  rejectedReadings: 1200,
  correctedReadings: 7,
  dips: 2,
  spikes: 1,
  counterResets: 3,
};

test("complete figures say how much of the sessions is covered, and no more", () => {
  const line = "complete: AC readings cover 100 %, DC 100 % of 1 h 00 min in sessions";
  assert.equal(coverageText(coverage()), line);
  assert.deepEqual(basisSentences(coverage()), [
    "Of 1 h 00 min in sessions, AC readings cover 1 h 00 min (100 %) " +
      "and DC readings cover 1 h 00 min (100 %). The figures are complete.",
  ]);
});

test("a share that is too small never prints as one that is enough", () => {
  const short = { quality: "partial", acSecondsCovered: 3419, dcSecondsCovered: 1 };
  const text = coverageText(coverage(short));
  assert.match(text, /AC readings cover 94 %, DC under 1 % of/);
  assert.match(coverageText(coverage({ acSecondsCovered: 0 })), /AC readings cover 0 %/);
});

test("all that is out of the ordinary is on the line", () => {
  assert.equal(
    coverageText(coverage(ALL_ODD)),
    "partial: AC readings cover 100 %, DC 100 % of 1 h 00 min in sessions; " +
      "20.0 kWh AC and under 0.1 kWh DC estimated; 1 implausible reading; " +
      "1,200 rejected readings; 7 corrected readings; 2 dips; 1 spike; 3 counter resets",
  );
});

test("and in a sentence each, which says what became of it", () => {
  const [, ...sentences] = basisSentences(coverage(ALL_ODD));
  assert.deepEqual(sentences, [
    "20.0 kWh AC and under 0.1 kWh DC is estimated: " +
      "shared out by time, where readings are too far apart to tell.",
    "1 reading has more energy than the device can carry in the time: implausible.",
    "1,200 readings were rejected and not resolved: what they say may be missing here.",
    "7 readings were corrected by people: brought in, moved or taken out. What was sent is kept.",
    "2 dips of a register within its tolerance: counted as no energy.",
    "1 spike of a register, which the next readings took back: left out.",
    "3 counter resets: a register began anew, and is counted from 0.",
  ]);
});

test("one rejected reading is spoken of as one", () => {
  const [, rejected] = basisSentences(coverage({ rejectedReadings: 1 }));
  const expected = "1 reading was rejected and not resolved: what it says may be missing here.";
  assert.equal(rejected, expected);
});

test("how often devices report is said of the sides that have two readings", () => {
  const paced = (ac, dc) => basisSentences(coverage({ observedSeconds: { ac, dc } }))[1];
  assert.equal(
    paced(10, 900),
    "AC readings come every 10 s, DC readings come every 900 s, as a rule.",
  );
  assert.equal(paced(0.4, null), "AC readings come every second or less, as a rule.");
  assert.equal(paced(null, null), undefined);
});

test("what rests on nothing says so, and what was rejected", () => {
  const none = { quality: "none", acSecondsCovered: 0 };
  const nothing = "rests on nothing: a side has no reading";
  assert.equal(coverageText(coverage(none)), nothing);
  const rejected = coverageText(coverage({ ...none, rejectedReadings: 2 }));
  assert.equal(rejected, `${nothing}; 2 rejected readings`);
  assert.deepEqual(basisSentences(coverage({ ...none, sessionSeconds: 0 })), []);
});
