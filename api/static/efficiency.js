// How good an efficiency is, by the limits of the API (`limits` is the answer of
// /v1/analytics/limits), and where a fault is suspected.

import { kwh, limitPercent, plural } from "./format.js";
import { HOUR_MS } from "./time_window.js";

// The API judges before it rounds: a ratio that prints as 0.85 may be under it. Its alerts tell.
const hasAlert = ({ alerts }, code) => alerts.some((alert) => alert.code === code);
export const isLow = (figures) => hasAlert(figures, "low_efficiency");
export const isImpossible = (figures) => hasAlert(figures, "impossible_efficiency");
export const isFlagged = (figures) => isLow(figures) || isImpossible(figures);

// An alert is certain when the figures are complete; so all of one answer are, or none.
export const isCertain = ({ alerts }) => alerts.some((alert) => alert.certain);

// A ratio in words, and as good, warn or bad: [words, judged]. `judged` is that of a tile. Figures that
// are not complete are neither good nor bad for certain.
export function judgement(figures, limits) {
  const ratio = figures.metrics.efficiencyRatio;
  if (figures.coverage.quality === "none") return ["no alert without readings of both sides", ""];
  if (ratio === null) return ["nothing was charged", ""];
  const isComplete = figures.coverage.quality === "complete";
  const certainty = isComplete ? "" : ", but uncertain";
  if (!isFlagged(figures)) {
    const words = `not under ${limitPercent(limits.lowEfficiency)}`;
    return [words + certainty, isComplete ? "good" : ""];
  }
  const words = isLow(figures) ? lowWords(ratio, limits) : impossibleWords(ratio, limits);
  return [words + certainty, isComplete ? "bad" : "warn"];
}

function impossibleWords(ratio, { impossibleEfficiency }) {
  const just = ratio > impossibleEfficiency ? "" : "just ";
  return `${just}over ${limitPercent(impossibleEfficiency)}: impossible`;
}

// The words for a low ratio, which may print as the limit itself.
export function lowWords(ratio, { lowEfficiency }) {
  const under = `under ${limitPercent(lowEfficiency)}`;
  return ratio < lowEfficiency ? under : `just ${under}`;
}

// Hours have no alerts. Where their ratio prints as the limit, the energies tell on which side of
// it the ratio lies. Ratios and limits are compared in thousandths, energies in watt-hours.
const thousandths = (number) => Math.round(number * 1000);

function comparedToLimit({ efficiency, energyAc, energyDc }, limit) {
  const printed = thousandths(efficiency) - thousandths(limit);
  return printed || 1000 * thousandths(energyDc) - thousandths(limit) * thousandths(energyAc);
}

export const isLowHour = (hour, { lowEfficiency }) =>
  hour.efficiency !== null && comparedToLimit(hour, lowEfficiency) < 0;
export const isImpossibleHour = (hour, { impossibleEfficiency }) =>
  hour.efficiency !== null && comparedToLimit(hour, impossibleEfficiency) > 0;

// Hours have no quality of their own: one is `certain` where the vehicle's figures are complete, or
// those of all sessions that touch it. Where no session is known of, nobody knows.
export function withCertainty(hours, sessions, { quality }) {
  const spans = sessions.map(({ startedAt, endedAt, coverage }) => ({
    start: Date.parse(startedAt),
    end: endedAt === null ? Infinity : Date.parse(endedAt),
    complete: coverage.quality === "complete",
  }));
  return hours.map((hour) => {
    const start = Date.parse(hour.hour);
    const touching = spans.filter((span) => span.start < start + HOUR_MS && span.end > start);
    const complete = touching.length > 0 && touching.every((span) => span.complete);
    return { ...hour, certain: quality === "complete" || complete };
  });
}

// The DC energy that was delivered while no session was open, in words.
export function outsideSessionsText({ dcEnergyOutsideSessions: outside }) {
  return outside ? `and ${kwh(outside)} outside sessions` : "all of it in sessions";
}

// The chargers at which a session is low.
export const lowChargers = (sessions) => [
  ...new Set(sessions.filter(isLow).map((session) => session.meterId)),
];

// Where to look first when a vehicle's efficiency is low, by its sessions: at the charger, when
// the low sessions have one in common.
export function suspectedFault(sessions, { lowEfficiency }) {
  const low = sessions.filter(isLow);
  if (low.length === 0) return "";
  const meters = lowChargers(sessions);
  if (meters.length > 1) {
    return `It is low at ${meters.length} chargers: look at the vehicle first.`;
  }
  const [meter] = meters;
  const judgedElsewhere = sessions.some(
    (session) => session.meterId !== meter && session.coverage.quality !== "none",
  );
  const under = `under ${limitPercent(lowEfficiency)}`;
  const which = `${plural(low.length, "session")} ${under}, at charger ${meter}`;
  return judgedElsewhere
    ? `${which}, and not elsewhere: look at that charger first.`
    : `${which}; it charged nowhere else: look at the charger, then at the vehicle.`;
}
