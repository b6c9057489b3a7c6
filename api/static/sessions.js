// Who is charging now.

import { h, idText, vehicleLink } from "./dom.js";
import { clock, count, lasting, plural } from "./format.js";
import { ask, serverNow } from "./http.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";

const EVERY_MS = 10_000;
const ASKED = 200;
const LONG_MS = 24 * 3_600_000;

const age = (session) => serverNow() - Date.parse(session.startedAt);

function since(session) {
  const text = lasting(age(session));
  return age(session) > LONG_MS ? `${text}, did nobody end it?` : text;
}

export function sessionsPanel() {
  const panel = new Panel("Charging now", { loading: "Asking for active sessions …" });
  const counted = h("p", { class: "note" });
  const table = new Table(
    "Active charging sessions, newest first",
    [
      { title: "Vehicle", value: (session) => session.vehicleId, render: (session) => vehicleLink(session.vehicleId) },
      { title: "Charger", value: (session) => session.meterId, render: (session) => idText(session.meterId) },
      { title: "Since", className: "number", value: (session) => clock(session.startedAt, { seconds: false }) },
      { title: "For", className: "number", value: since },
    ],
    { key: (session) => session.sessionId, first: 6, rowClass: (session) => (age(session) > LONG_MS ? "odd" : "") },
  );
  panel.body.append(counted, table.node);
  panel.poll(EVERY_MS, (signal) => ask(`/v1/sessions/active?limit=${ASKED}`, { signal }), ({ body, more }) => {
    counted.textContent = more ? `More than ${count(body.length)} active sessions; the newest are shown.` : `${plural(body.length, "active session")}.`;
    table.show(body);
    if (body.length === 0) panel.empty("No vehicle is charging now.");
  });
  return panel;
}
