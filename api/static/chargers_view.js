// The chargers of the fleet in a window, the worst efficiency first, and a search among all that are
// registered.

import { chargersAddress } from "./address.js";
import { coverageText } from "./coverage.js";
import { deviceList } from "./device_list.js";
import { chargerLink, h, say } from "./dom.js";
import { isCertain, isLow } from "./efficiency.js";
import { ago, clock, count, energy, limitPercent, percent, plural } from "./format.js";
import { ask } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { Table } from "./table.js";
import { windowOf, windowQuery, windowTitle } from "./time_window.js";
import { windowPicker } from "./window_picker.js";

const EVERY_MS = 20_000;
const ASKED = 200;
const SHOWN_AT_FIRST = 20;
const OLD_MS = 10 * 60_000;

// {nodes, stop}: the elements of the view, and a function that ends its polls. `chosen` is its window.
export function chargersView(chosen) {
  const worst = worstPanel(chosen);
  const list = deviceList("meter", "");
  const polls = [worst, list].map((panel) => panel.asking.start());
  const back = h("a", { class: "back", href: "#" }, "← The fleet");
  return {
    nodes: [h("div", { class: "title" }, back, h("h1", {}, "Chargers")), worst.node, list.node],
    stop: () => {
      for (const poll of polls) poll.stop();
    },
  };
}

function worstPanel(chosen) {
  const panel = new Panel(`The worst first: ${windowTitle(chosen).toLowerCase()}`, {
    loading: "Comparing the chargers …",
    className: "wide",
    aside: windowPicker(chosen, chargersAddress),
  });
  const verdict = h("p", { class: "verdict" });
  const table = new Table("Chargers with their efficiency, the worst first", columns(chosen), {
    key: ({ meterId }) => meterId,
    first: SHOWN_AT_FIRST,
    rowClass,
  });
  const note = h("p", { class: "note" });
  panel.body.append(verdict, table.node, note);
  panel.poll(
    EVERY_MS,
    async (signal) => {
      const query = windowQuery(windowOf(chosen, serverNow()));
      const path = `/v1/analytics/meters?${query}&limit=${ASKED}`;
      const [limits, { body }] = await Promise.all([askLimits(signal), ask(path, { signal })]);
      return { limits, chargers: body };
    },
    ({ limits, chargers }) => {
      const [text, judged] = verdictText(chargers, limits);
      say(verdict, text);
      verdict.className = `verdict ${judged}`;
      table.show(chargers.meters, chargers.meterCount);
      table.node.hidden = chargers.meters.length === 0;
      say(note, noteText(chargers));
    },
  );
  return panel;
}

// How many chargers are low, for certain and else: [text, judged].
export function verdictText({ meterCount, alertCounts, certainAlertCounts }, { lowEfficiency }) {
  const under = `under ${limitPercent(lowEfficiency)}`;
  if (meterCount === 0) return ["No charger has reported or charged in this time.", ""];
  const low = alertCounts.lowEfficiency;
  const certain = certainAlertCounts.lowEfficiency;
  const all = plural(meterCount, "charger");
  if (certain) {
    const more = low > certain ? ` ${plural(low - certain, "more charger")} may be.` : "";
    return [
      `✕ ${count(certain)} of ${all} ${certain === 1 ? "is" : "are"} ${under}.${more}`,
      "bad",
    ];
  }
  if (low) return [`▲ ${count(low)} of ${all} may be ${under}; none is for certain.`, "warn"];
  return [`None of ${all} is ${under} on average, as far as they can be judged.`, ""];
}

function rowClass(charger) {
  if (charger.alerts.length === 0) return "";
  if (!isCertain(charger)) return "unsure";
  return isLow(charger) ? "low" : "odd";
}

function noteText({ asOf, beingRedone, meters, meterCount }) {
  const sentences = [];
  if (meters.length < meterCount) {
    sentences.push(`The worst ${count(meters.length)} of ${count(meterCount)} are listed.`);
  }
  if (beingRedone) sentences.push("Figures are being added up anew: old and new mix until then.");
  const old = serverNow() - Date.parse(asOf) > OLD_MS ? ` (${ago(asOf)}: old)` : "";
  return [...sentences, `As of ${clock(asOf)}${old}.`].join(" ");
}

// Why a charger is flagged, and how sure that is.
export function flagText({ alerts }) {
  const text = alerts.map(({ message }) => message).join("; ");
  const why = alerts[0]?.why;
  return why ? `${text}. Uncertain: ${why}` : text;
}

const placeText = ({ location }) => location ?? "";

const columns = (chosen) => [
  {
    title: "Charger",
    value: ({ meterId }) => meterId,
    render: ({ meterId }) => chargerLink(meterId, chosen),
  },
  { title: "Location", className: "minor", value: placeText },
  {
    title: "Efficiency",
    className: "number ratio",
    value: ({ metrics }) => percent(metrics.efficiencyRatio),
  },
  { title: "Alert", className: "why", value: flagText },
  {
    title: "AC kWh",
    className: "number minor",
    value: ({ metrics }) => energy(metrics.totalEnergyConsumedAc),
  },
  {
    title: "Sessions",
    className: "number minor",
    value: ({ metrics }) => count(metrics.chargingSessions),
  },
  {
    title: "Vehicles",
    className: "number minor",
    value: ({ metrics }) => count(metrics.vehicles),
  },
  { title: "Rests on", className: "minor basis", value: ({ coverage }) => coverageText(coverage) },
];
