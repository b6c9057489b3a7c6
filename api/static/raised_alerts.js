// The alerts of the figures that are not resolved: what, of which device, since when, and who looks
// after it. Those that are certain come first. A reader who `mayOperate` can acknowledge one.

import { chargerLink, deviceLink, h, say } from "./dom.js";
import { ago, clock, count } from "./format.js";
import { ask, pathSegment } from "./http.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";

const EVERY_MS = 15_000;
const ASKED = 100;
const SHOWN_AT_FIRST = 5;
const MAX_NOTE = 1000; // Characters that the API takes.
const PATH = "/v1/alerts";
const UNRESOLVED = ["open", "acknowledged"];
const NONE = "No alert is open.";

// Of all devices, or of the one whose id is given: then there is nothing to see without an alert.
export function raisedAlertsPanel(mayOperate, deviceId = null) {
  const panel = new Panel("Open alerts", { loading: "Asking for alerts …", className: "raised" });
  const told = h("p", { role: "status", tabindex: "-1", class: "told" });
  const acknowledge = async (alert, note) => {
    try {
      const body = note ? { note } : {};
      await ask(`${PATH}/${pathSegment(alert.alertId)}/acknowledge`, { method: "POST", body });
      say(told, `The alert of ${alert.deviceId} is acknowledged.`);
      panel.asking.askNow();
      told.focus(); // The button that had it is gone.
    } catch (error) {
      say(told, error.message);
    }
  };
  const columns = mayOperate ? [...COLUMNS, actionColumn(acknowledge)] : COLUMNS;
  const table = new Table("Alerts that are not resolved, the certain ones first", columns, {
    key: ({ alertId }) => alertId,
    first: SHOWN_AT_FIRST,
    rowClass: ({ certain, state }) => (certain && state === "open" ? "low" : "unsure"),
  });
  const note = h("p", { class: "note" });
  panel.body.append(table.node, note);
  panel.node.append(told);
  panel.node.hidden = deviceId !== null;
  panel.poll(
    EVERY_MS,
    (signal) => askUnresolved(deviceId, signal),
    (lists) => {
      const alerts = inOrder(lists.flat());
      table.show(alerts, alerts.length);
      say(note, cutText(lists));
      panel.node.hidden = deviceId !== null && alerts.length === 0;
      if (alerts.length === 0) panel.empty(NONE);
    },
  );
  return panel;
}

const askUnresolved = (deviceId, signal) =>
  Promise.all(
    UNRESOLVED.map(async (state) => (await ask(pathOf(state, deviceId), { signal })).body),
  );

// The path of the alerts of a state, of one device or of all.
export function pathOf(state, deviceId) {
  const query = new URLSearchParams({ state, limit: ASKED });
  if (deviceId !== null) query.set("deviceId", deviceId);
  return `${PATH}?${query}`;
}

const rank = ({ certain, state }) => (certain ? 0 : 2) + (state === "open" ? 0 : 1);

// The certain ones first, of these the ones that nobody looks after; else the newest.
export const inOrder = (alerts) =>
  alerts.toSorted((a, b) => rank(a) - rank(b) || b.openedAt.localeCompare(a.openedAt));

// That there may be more.
export const cutText = (lists) =>
  lists.some((list) => list.length === ASKED)
    ? `Only the newest ${count(ASKED)} of each kind are listed.`
    : "";

// In words: what is amiss, and why that is not certain.
export const alertWords = ({ message, why }) => (why ? `${message}. Uncertain: ${why}` : message);

// Who looks after it, and what they say.
export function careText({ acknowledgedBy, acknowledgedAt, note }) {
  if (!acknowledgedBy) return "Nobody looks after it yet.";
  const who = `Acknowledged by ${acknowledgedBy} at ${clock(acknowledgedAt, { seconds: false })}`;
  return note ? `${who}: ${note}` : `${who}.`;
}

const COLUMNS = [
  {
    title: "Device",
    value: ({ deviceId, meterId }) => `${deviceId} ${meterId}`,
    render: ({ streamType, deviceId, meterId }) =>
      h(
        "div",
        {},
        deviceLink(streamType, deviceId),
        streamType === "vehicle" && meterId
          ? h("div", { class: "detail" }, "on ", chargerLink(meterId))
          : null,
      ),
  },
  {
    title: "What",
    className: "why",
    value: (alert) => alertWords(alert) + careText(alert) + ago(alert.openedAt),
    render: (alert) =>
      h(
        "div",
        {},
        alertWords(alert),
        h("div", { class: "detail" }, `Opened ${ago(alert.openedAt)}. ${careText(alert)}`),
      ),
  },
];

// A button, with a note if the reader writes one.
function actionColumn(acknowledge) {
  const render = (alert) => {
    if (alert.state !== "open") return h("span", {});
    const note = h("input", { type: "text", placeholder: "Note", maxlength: MAX_NOTE });
    const label = h("label", {}, h("span", { class: "unseen" }, "Note"), note);
    const name = `Acknowledge the alert of ${alert.deviceId}`;
    const button = h("button", { type: "submit", "aria-label": name }, "Acknowledge");
    const onsubmit = (event) => {
      event.preventDefault();
      acknowledge(alert, note.value.trim());
    };
    return h("form", { class: "acknowledge", onsubmit }, label, button);
  };
  return { title: "Acknowledge", className: "act", value: ({ state }) => state, render };
}
