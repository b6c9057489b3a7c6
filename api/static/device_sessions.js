// The charging sessions of a vehicle or of a charger in a window, with the figures of each as a whole.

import { coverageText } from "./coverage.js";
import { chargerLink, h, vehicleLink } from "./dom.js";
import { isCertain } from "./efficiency.js";
import { clock, duration, energy, percent, stateOfCharge } from "./format.js";
import { ask } from "./http.js";
import { serverNow } from "./server_clock.js";
import { Table } from "./table.js";
import { HOUR_MS } from "./time_window.js";

const SESSIONS_ASKED = 48;
const SHOWN_AT_FIRST = 12;
const ID_OF = { vehicle: "vehicleId", charger: "meterId" };
const CALM_AFTER_MS = HOUR_MS; // Before, readings of a session are still on their way.
const KEPT_MS = 120_000; // Late and corrected readings may change the figures at any time.

// {node, ask, show}: the table, the question for sessions, and what shows its answer. `kind` is
// vehicle or charger; the links keep the `chosen` window.
export function deviceSessions(kind, chosen) {
  const note = h("p", { class: "note" });
  const table = new Table(`The ${kind}'s charging sessions, newest first`, columns(kind, chosen), {
    key: ({ sessionId }) => sessionId,
    first: SHOWN_AT_FIRST,
    rowClass,
  });
  const figures = new SessionFigures();
  return {
    node: h("div", {}, table.node, note),
    // The sessions that touch the window: {sessions, more}. Throws ApiError.
    async ask(id, window, signal) {
      const device = `${ID_OF[kind]}=${encodeURIComponent(id)}`;
      const path = `/v1/sessions?${device}&${window}&limit=${SESSIONS_ASKED}`;
      const { body, more } = await ask(path, { signal });
      const sessions = await Promise.all(body.map((session) => figures.ask(session, signal)));
      return { sessions, more };
    },
    show({ sessions, more }) {
      table.show(sessions);
      table.node.hidden = sessions.length === 0;
      note.textContent = noteText(sessions, more);
    },
  };
}

// Certain alerts stand out, uncertain ones less.
function rowClass(session) {
  if (session.alerts.length === 0) return "";
  return isCertain(session) ? "low" : "unsure";
}

// The figures of sessions. Those of sessions that ended long ago are asked for less often.
export class SessionFigures {
  #kept = new Map(); // {figures, until} by the session's id.

  async ask(session, signal) {
    const { figures, until = 0 } = this.#kept.get(session.sessionId) ?? {};
    if (Date.now() < until && hasTimesOf(figures, session)) return figures;
    const { body } = await ask(`/v1/analytics/sessions/${session.sessionId}`, { signal });
    if (isCalm(session)) {
      this.#kept.set(session.sessionId, { figures: body, until: Date.now() + KEPT_MS });
    }
    return body;
  }
}

const hasTimesOf = (figures, { startedAt, endedAt }) =>
  figures.startedAt === startedAt && figures.endedAt === endedAt;

const isCalm = ({ endedAt }) =>
  endedAt !== null && serverNow() - Date.parse(endedAt) > CALM_AFTER_MS;

function noteText(sessions, more) {
  if (sessions.length === 0) return "It has not charged in this time.";
  const cut = more ? `The newest ${SESSIONS_ASKED} are shown. ` : "";
  return `${cut}Figures are those of whole sessions, also where the window cuts them.`;
}

// How long a session lasted, and how it ended when nobody ended it.
export function sessionDuration({ durationMinutes, isActive, endReason }) {
  const text = duration(durationMinutes * 60_000);
  if (isActive) return `${text}, still charging`;
  return endReason === "timeout" ? `${text}, ended by silence` : text;
}

const OTHERS = {
  vehicle: (window) => ({
    title: "Charger",
    value: ({ meterId }) => meterId,
    render: ({ meterId }) => chargerLink(meterId, window),
  }),
  charger: (window) => ({
    title: "Vehicle",
    value: ({ vehicleId }) => vehicleId,
    render: ({ vehicleId }) => vehicleLink(vehicleId, window),
  }),
};

const columns = (kind, window) => [STARTED, OTHERS[kind](window), ...FIGURES];

const STARTED = {
  title: "Started",
  value: ({ startedAt }) => clock(startedAt, { seconds: false, day: true }),
};

const FIGURES = [
  { title: "For", className: "number", value: sessionDuration },
  {
    title: "Efficiency",
    className: "number ratio",
    value: ({ efficiency }) => percent(efficiency),
  },
  { title: "AC kWh", className: "number", value: ({ energyAc }) => energy(energyAc) },
  { title: "DC kWh", className: "number", value: ({ energyDc }) => energy(energyDc) },
  {
    title: "Charge",
    className: "number minor",
    value: ({ socFrom, socTo }) => `${stateOfCharge(socFrom)} → ${stateOfCharge(socTo)}`,
  },
  {
    title: "Rests on",
    className: "minor basis",
    value: ({ coverage }) => coverageText(coverage),
  },
];
