// What figures rest on, in words: how much of the sessions was read, what is estimated, what was
// wrong with readings, and what people corrected. `coverage` is that of the API.

import { count, duration, kwh, plural } from "./format.js";

// The share of the sessions' time that a side's readings cover. Rounded down: 94.9 % is not 95 %.
function coveredPercent(seconds, sessionSeconds) {
  const whole = Math.floor((100 * seconds) / sessionSeconds);
  return whole === 0 && seconds > 0 ? "under 1 %" : `${whole} %`;
}

// A figure's basis on one line: its quality, the covered time, and all that is out of the ordinary.
export function coverageText(coverage) {
  const nothing = coverage.quality === "none";
  const covered = nothing ? "" : coveredText(coverage);
  const found = [covered, ...oddities(coverage)].filter((text) => text).join("; ");
  const quality = nothing ? "rests on nothing: a side has no reading" : coverage.quality;
  if (!found) return quality;
  return nothing ? `${quality}; ${found}` : `${quality}: ${found}`;
}

function coveredText({ sessionSeconds, acSecondsCovered, dcSecondsCovered }) {
  if (!sessionSeconds) return "";
  const ac = coveredPercent(acSecondsCovered, sessionSeconds);
  const dc = coveredPercent(dcSecondsCovered, sessionSeconds);
  return `AC readings cover ${ac}, DC ${dc} of ${duration(sessionSeconds * 1000)} in sessions`;
}

// What is estimated or was wrong, a phrase each; nothing where all is well.
export function oddities(coverage) {
  const estimated = estimatedText(coverage);
  const rejected = coverage.rejectedReadings;
  return [
    estimated ? `${estimated} estimated` : null,
    coverage.implausibleReadings
      ? plural(coverage.implausibleReadings, "implausible reading")
      : null,
    rejected ? plural(rejected, "rejected reading") : null,
    coverage.correctedReadings ? plural(coverage.correctedReadings, "corrected reading") : null,
    ...registerOddities(coverage),
  ].filter((text) => text);
}

function estimatedText({ estimatedAc, estimatedDc }) {
  const sides = [estimatedAc ? `${small(estimatedAc)} AC` : null];
  sides.push(estimatedDc ? `${small(estimatedDc)} DC` : null);
  return sides.filter((text) => text).join(" and ");
}

const small = (energy) => (energy < 0.05 ? "under 0.1 kWh" : kwh(energy));

const registerOddities = ({ dips, spikes, counterResets }) => [
  dips ? plural(dips, "dip") : null,
  spikes ? plural(spikes, "spike") : null,
  counterResets ? plural(counterResets, "counter reset") : null,
];

// The same in whole sentences, which say what became of each; those that do not apply are left out.
export function basisSentences(coverage) {
  return [
    coveredSentence(coverage),
    paceSentence(coverage.observedSeconds),
    estimatedSentence(coverage),
    implausibleSentence(coverage.implausibleReadings),
    rejectedSentence(coverage.rejectedReadings),
    correctedSentence(coverage.correctedReadings),
    dipSentence(coverage.dips),
    spikeSentence(coverage.spikes),
    resetSentence(coverage.counterResets),
  ].filter((text) => text);
}

function coveredSentence({ quality, sessionSeconds, acSecondsCovered, dcSecondsCovered }) {
  if (!sessionSeconds) return "";
  const side = (name, seconds) => {
    const share = coveredPercent(seconds, sessionSeconds);
    return `${name} readings cover ${duration(seconds * 1000)} (${share})`;
  };
  const ac = side("AC", acSecondsCovered);
  const dc = side("DC", dcSecondsCovered);
  const word = quality === "none" ? "" : ` The figures are ${quality}.`;
  return `Of ${duration(sessionSeconds * 1000)} in sessions, ${ac} and ${dc}.${word}`;
}

function paceSentence(observed) {
  const side = (name, seconds) => (seconds ? `${name} readings come every ${pace(seconds)}` : null);
  const sides = [side("AC", observed?.ac), side("DC", observed?.dc)].filter((text) => text);
  return sides.length ? `${sides.join(", ")}, as a rule.` : "";
}

const pace = (seconds) => (seconds < 1 ? "second or less" : `${count(seconds)} s`);

function estimatedSentence(coverage) {
  const estimated = estimatedText(coverage);
  const why = "shared out by time, where readings are too far apart to tell";
  return estimated ? `${estimated} is estimated: ${why}.` : "";
}

function implausibleSentence(readings) {
  if (!readings) return "";
  const which = plural(readings, "reading has", "readings have");
  return `${which} more energy than the device can carry in the time: implausible.`;
}

function rejectedSentence(readings) {
  if (!readings) return "";
  const were = plural(readings, "reading was", "readings were");
  const they = readings === 1 ? "it says" : "they say";
  return `${were} rejected and not resolved: what ${they} may be missing here.`;
}

function correctedSentence(readings) {
  if (!readings) return "";
  const were = plural(readings, "reading was", "readings were");
  return `${were} corrected by people: brought in, moved or taken out. What was sent is kept.`;
}

const dipSentence = (dips) =>
  dips ? `${plural(dips, "dip")} of a register within its tolerance: counted as no energy.` : "";

const spikeSentence = (spikes) =>
  spikes
    ? `${plural(spikes, "spike")} of a register, which the next readings took back: left out.`
    : "";

const resetSentence = (resets) =>
  resets ? `${plural(resets, "counter reset")}: a register began anew, and is counted from 0.` : "";
