// A vehicle's alerts: whether they are certain, and what they mean or what to do about them.

import { chargerLink, h } from "./dom.js";
import { isLow, lowChargers, suspectedFault } from "./efficiency.js";
import { kwh } from "./format.js";

// A certain alert stands out; another one is quieter, and says why it is not certain. A charger's link
// keeps the `chosen` window.
export function alertNodes(figures, found, limits, chosen) {
  return figures.alerts.map((alert) => {
    const text = alertMeaning(alert, figures, found, limits);
    const meaning = linked(text, lowChargers(found.sessions), chosen);
    if (!alert.certain) {
      return h("p", { class: "callout unsure" }, `▲ ${uncertainText(alert)} `, meaning);
    }
    const [kind, mark] = alert.code === "cadence_mismatch" ? ["warn", "▲"] : ["bad", "✕"];
    const message = h("strong", {}, `${mark} ${alert.message}. `);
    return h("p", { class: `callout ${kind}` }, message, meaning);
  });
}

// The text with a link in the place of the charger it names, if it is the only one.
function linked(text, chargers, chosen) {
  const named = `charger ${chargers[0]}`;
  const at = chargers.length === 1 ? text.indexOf(named) : -1;
  if (at < 0) return text;
  const link = chargerLink(chargers[0], chosen);
  return [text.slice(0, at), "charger ", link, text.slice(at + named.length)];
}

// An alert that is not certain, and why.
export const uncertainText = ({ message, why }) => `Uncertain: ${message}. Why: ${why}.`;

// What an alert means in energy, or what to do about it.
export function alertMeaning(alert, figures, found, limits) {
  if (alert.code in WHAT_TO_DO) return whatToDo(alert);
  const explanation = alertExplanation(figures, found, limits);
  return alert.certain ? explanation : `Should it be true: ${explanation}`;
}

// What to do about an alert that is not about the efficiency.
export const whatToDo = ({ code }) => WHAT_TO_DO[code] ?? "";

const WHAT_TO_DO = {
  cadence_mismatch:
    "What to do: POST /v1/devices/adopt-cadence with the device's id in deviceIds sets " +
    "reportSeconds to what was observed. Past figures change with it.",
  implausible_energy:
    "What to do: look at these readings, and at the device's capacityKw or maxChargeKw.",
};

// What an alert about the efficiency means in energy, and where to look first, if all sessions are
// known.
export function alertExplanation(figures, { sessions, more }, limits) {
  if (!isLow(figures)) return "A meter or its assignment to the sessions is wrong.";
  const { totalEnergyConsumedAc: drawn, totalEnergyDeliveredDc: delivered } = figures.metrics;
  const lost = `${kwh(drawn - delivered)} of ${kwh(drawn)} did not reach the battery.`;
  return more ? lost : `${lost} ${suspectedFault(sessions, limits)}`;
}
