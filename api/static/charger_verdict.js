// Is it the charger or the car? What a charger's efficiency with each vehicle says, beside that of the
// same vehicles elsewhere: what is to blame, since when, and how sure that is.

import { hasRatio } from "./days_chart.js";
import { isCertain, isImpossible, isLow } from "./efficiency.js";
import { count, limitPercent, plural } from "./format.js";
import { isoDay } from "./time_window.js";

const ENOUGH_TO_COMPARE = 2; // Vehicles that are low here alone.
const ENOUGH_ALONE = 3; // Vehicles of which it is not known how they do elsewhere.
const NAMED = 3;
export const LITTLE_SHARE = 0.1; // A day of less than this share of the highest energy says little.

const elsewhereRatio = ({ elsewhere }) => elsewhere?.efficiencyRatio ?? null;

// A vehicle on a charger: "unjudged", "fine", or low: "here" alone, "everywhere", or "unknown" where
// it has not charged elsewhere.
export function kindOf(vehicle, { lowEfficiency }) {
  if (!hasRatio(vehicle)) return "unjudged";
  if (!isLow(vehicle)) return "fine";
  const ratio = elsewhereRatio(vehicle);
  if (ratio === null) return "unknown";
  return ratio < lowEfficiency ? "everywhere" : "here";
}

// The vehicles since the charger is low. Who charged nowhere else since then is compared with how it did
// elsewhere in the `longer` time before and after: a stretch of one day would know nothing of a car.
export function withElsewhere(vehicles, longer) {
  const known = new Map(longer.map((vehicle) => [vehicle.vehicleId, vehicle.elsewhere]));
  return vehicles.map((vehicle) => {
    if (elsewhereRatio(vehicle) !== null) return vehicle;
    return { ...vehicle, elsewhere: known.get(vehicle.vehicleId) ?? vehicle.elsewhere };
  });
}

// {judged, parts, sure}: good, warn, bad or empty; the verdict as texts and nodes, where `link` makes
// the node of a vehicle's id; and how sure it is, in words.
export function chargerOrCar(figures, limits, link) {
  const kinds = { unjudged: [], fine: [], here: [], everywhere: [], unknown: [] };
  for (const vehicle of figures.vehicles) kinds[kindOf(vehicle, limits)].push(vehicle);
  const words = { under: `under ${limitPercent(limits.lowEfficiency)}`, link };
  const { fine, here, everywhere, unknown } = kinds;
  if (isImpossible(figures)) return impossible(figures);
  if (here.length) return lowHere(kinds, words);
  if (everywhere.length) return lowEverywhere(kinds, words);
  if (unknown.length) return lowUnknown(kinds, words);
  return fine.length ? nobodyIsLow(fine, figures, words) : NOTHING_TO_SAY;
}

const NOTHING_TO_SAY = {
  judged: "",
  parts: ["Too few to tell: no vehicle has readings of both sides and energy here."],
  sure: "",
};

function impossible(figures) {
  const text = "More energy was delivered than this charger drew: its meter, or how sessions are ";
  return verdict("✕", [`${text}assigned to chargers, is wrong.`], [figures]);
}

function nobodyIsLow(fine, figures, { under }) {
  if (isLow(figures)) {
    const text = `Too few to tell: together the vehicles are ${under} here, but none of them alone.`;
    return { judged: "warn", parts: [`▲ ${text}`], sure: "" };
  }
  const complete = fine.filter(({ coverage }) => coverage.quality === "complete").length;
  const text = `Neither: none of ${plural(fine.length, "judged vehicle")} is ${under} here.`;
  const sure = surenessText(complete, fine.length);
  return complete === fine.length
    ? { judged: "good", parts: [`✓ ${text}`], sure }
    : { judged: "", parts: [text], sure };
}

// Some vehicles are low here, and fine elsewhere.
function lowHere({ fine, here, everywhere, unknown }, { under, link }) {
  const low = here.length + everywhere.length + unknown.length;
  const counted = `${count(low)} of ${plural(low + fine.length, "vehicle")}`;
  const besides = everywhere.length
    ? [" Besides, look at ", ...names(everywhere, link), ": low elsewhere, too."]
    : [];
  if (here.length >= ENOUGH_TO_COMPARE && fine.length < here.length) {
    const that = here.length === low ? "all of these" : count(here.length);
    const text = `The charger: ${counted} are ${under} here, and ${that} are fine elsewhere.`;
    return verdict("✕", [text, ...besides], here);
  }
  if (fine.length) {
    const others = plural(fine.length, "other vehicle is", "other vehicles are");
    const text = ` low here and fine elsewhere, but ${others} fine here: look at how they fit together.`;
    const be = here.length === 1 ? " is" : " are";
    return verdict("▲", ["Neither alone: ", ...names(here, link), be + text, ...besides], here);
  }
  const text = " is low here and fine elsewhere. One vehicle is too few to be sure.";
  return verdict("▲", ["Rather the charger: ", ...names(here, link), text, ...besides], here);
}

// Whoever is low here is low elsewhere, too, as far as that is known.
function lowEverywhere({ fine, everywhere, unknown }, { under, link }) {
  const [car, be] = everywhere.length === 1 ? ["car", "is"] : ["cars", "are"];
  const more = unknown.length ? `, and ${plural(unknown.length, "more vehicle")} low here` : "";
  const start = [`The ${car}, not the charger: `, ...names(everywhere, link)];
  const text = ` ${be} ${under} here and elsewhere${more}`;
  if (fine.length) {
    const others = plural(fine.length, "other vehicle is", "other vehicles are");
    return verdict("▲", [...start, `${text}, while ${others} fine here.`], everywhere);
  }
  const rest = `${text}. Whether the charger loses energy, too, cannot be told: nobody is fine here.`;
  return verdict("▲", [`Rather the ${car}: `, ...start.slice(1), rest], everywhere);
}

// Nobody who is low here has charged elsewhere.
function lowUnknown({ fine, unknown }, { under, link }) {
  if (fine.length === 0 && unknown.length >= ENOUGH_ALONE) {
    const all = `all ${count(unknown.length)} vehicles are ${under} here`;
    return verdict("▲", [`Rather the charger: ${all}. None has charged elsewhere.`], unknown);
  }
  const be = unknown.length === 1 ? "is" : "are";
  if (fine.length >= ENOUGH_TO_COMPARE && unknown.length === 1) {
    const others = `though ${count(fine.length)} others are fine here. It has charged nowhere else.`;
    const parts = ["Rather the car: ", ...names(unknown, link), ` is ${under}, ${others}`];
    return verdict("▲", parts, unknown);
  }
  const text = ` ${be} ${under} here, and charged nowhere else that could be compared.`;
  return verdict("▲", ["Too few to tell: ", ...names(unknown, link), text], unknown);
}

// A verdict about vehicles that are low. What is marked as bad has to rest on as many complete figures
// as it takes to compare.
function verdict(mark, parts, deciding) {
  const certain = deciding.filter(isCertain).length;
  const isSure = mark === "✕" && certain >= Math.min(ENOUGH_TO_COMPARE, deciding.length);
  const [first, ...rest] = parts;
  return {
    judged: isSure ? "bad" : "warn",
    parts: [`${isSure ? "✕" : "▲"} ${first}`, ...rest],
    sure: surenessText(certain, deciding.length, isSure),
  };
}

// How sure a verdict is, by how many of the figures behind it are complete.
function surenessText(complete, all, isSure = complete === all) {
  const certainty = isSure ? "quite" : "not quite";
  if (complete === all) {
    const figures =
      all === 1 ? "the figures behind it are" : `all ${count(all)} figures behind it are`;
    return `How sure: ${isSure ? "quite, " : ""}${figures} complete.`;
  }
  const some = complete === 0 ? "none" : count(complete);
  const be = complete > 1 ? "are" : "is";
  return `How sure: ${certainty}, of the ${plural(all, "figure")} behind it ${some} ${be} complete.`;
}

// Links to some vehicles, with commas between them, and how many there are besides.
function names(vehicles, link) {
  const shown = vehicles.slice(0, NAMED).flatMap(({ vehicleId }, place) => {
    return place ? [", ", link(vehicleId)] : [link(vehicleId)];
  });
  const more = vehicles.length - NAMED;
  return more > 0 ? [...shown, ` and ${count(more)} more`] : shown;
}

// The present stretch of low days: {days, stretch, before}, where `days` are all that say something,
// `stretch` those since the first low one, if the newest is low, and `before` the day before these. One
// fine day among low ones ends no stretch, two in a row do; days on which nothing, or little, was
// charged say nothing.
export function lowStretch(groups) {
  const most = Math.max(0, ...groups.map(drawn));
  const days = groups.filter((day) => hasRatio(day) && drawn(day) >= LITTLE_SHARE * most);
  let first = days.length;
  for (let place = days.length - 1; place >= 0 && place >= first - 2; place -= 1) {
    if (isLow(days[place])) first = place;
    else if (first === days.length) break;
  }
  return { days, stretch: days.slice(first), before: days[first - 1] };
}

// Since when it is low, in words.
export function sinceText({ days, stretch, before }, { lowEfficiency }) {
  const under = `under ${limitPercent(lowEfficiency)}`;
  if (days.length === 0) return "";
  if (stretch.length === 0) return notLowText(days, under);
  const low = stretch.filter(isLow);
  const since = isoDay(stretch[0].start);
  const start = before
    ? `Since ${since}: ${under} ${extentText(low, stretch)}; ${isoDay(before.start)} as a whole was not yet.`
    : `At least since ${since}, the first day here: ${under} ${extentText(low, stretch)}.`;
  return `${start} ${certainDaysText(low.filter(isCertain).length, low.length)}`;
}

function extentText(low, stretch) {
  if (stretch.length === 1) return "on that day";
  const share = low.length === stretch.length ? "all " : `${count(low.length)} of `;
  return `on ${share}${count(stretch.length)} days it charged on`;
}

const drawn = ({ metrics }) => metrics.totalEnergyConsumedAc;

function notLowText(days, under) {
  const last = isoDay(days.at(-1).start);
  const lowBefore = days.findLast(isLow);
  if (!lowBefore) return `On none of ${plural(days.length, "day")} with charging ${under}.`;
  return `Not any more: last ${under} on ${isoDay(lowBefore.start)}, and fine on ${last}.`;
}

function certainDaysText(certain, days) {
  if (certain === days) return "That is certain.";
  if (certain === 0) return "It is certain of none of them: their readings are not complete.";
  return `It is certain of ${count(certain)} of them.`;
}
