// The charging sessions that are active now.

import { chargerLink, h, vehicleLink } from "./dom.js";
import { clock, count, duration, plural } from "./format.js";
import { ask } from "./http.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { Table } from "./table.js";
import { DAY_MS } from "./time_window.js";

const EVERY_MS = 10_000;
const ASKED = 200;
const SHOWN_AT_FIRST = 6;
const UNUSUALLY_LONG_MS = DAY_MS;
const PATH = `/v1/sessions/active?limit=${ASKED}`;

export function activeSessionsPanel() {
  const panel = new Panel("Charging now", { loading: "Asking for active sessions …" });
  const note = h("p", { class: "note" });
  const table = new Table("Active charging sessions, newest first", COLUMNS, {
    key: ({ sessionId }) => sessionId,
    first: SHOWN_AT_FIRST,
    rowClass: (session) => (isUnusuallyLong(session) ? "odd" : ""),
  });
  panel.body.append(note, table.node);
  panel.poll(
    EVERY_MS,
    (signal) => ask(PATH, { signal }),
    ({ body: sessions, more }) => {
      note.textContent = more
        ? `More than ${count(sessions.length)} active sessions; the newest are shown.`
        : `${plural(sessions.length, "active session")}.`;
      table.show(sessions, more ? null : sessions.length);
      if (sessions.length === 0) panel.empty("No vehicle is charging now.");
    },
  );
  return panel;
}

const ageMs = ({ startedAt }) => serverNow() - Date.parse(startedAt);
const isUnusuallyLong = (session) => ageMs(session) > UNUSUALLY_LONG_MS;

// How long the session has lasted, with a question when nobody seems to have ended it.
export function ageText(session) {
  const text = duration(ageMs(session));
  return isUnusuallyLong(session) ? `${text}, did nobody end it?` : text;
}

const COLUMNS = [
  {
    title: "Vehicle",
    value: ({ vehicleId }) => vehicleId,
    render: ({ vehicleId }) => vehicleLink(vehicleId),
  },
  {
    title: "Charger",
    value: ({ meterId }) => meterId,
    render: ({ meterId }) => chargerLink(meterId),
  },
  {
    title: "Since",
    className: "number",
    value: ({ startedAt }) => clock(startedAt, { seconds: false }),
  },
  { title: "For", className: "number", value: ageText },
];
