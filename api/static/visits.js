// A vehicle's charging sessions with their figures, and what they say about where the fault is.

import { h, idText } from "./dom.js";
import { clock, energy, isLow, lasting, percent, plural, soc } from "./format.js";
import { ask } from "./http.js";
import { Table } from "./table.js";

const ASKED = 48;

export function sessionsPart() {
  const known = new Map(); // figures of ended sessions, which stay as they are
  const note = h("p", { class: "note" });
  const table = new Table(
    "The vehicle's charging sessions, newest first",
    [
      { title: "Started", value: (session) => clock(session.startedAt, { seconds: false, day: true }) },
      { title: "Charger", value: (session) => session.meterId, render: (session) => idText(session.meterId) },
      { title: "For", className: "number", value: duration },
      { title: "Efficiency", className: "number ratio", value: (session) => percent(session.efficiency) },
      { title: "AC kWh", className: "number", value: (session) => energy(session.energyAc) },
      { title: "DC kWh", className: "number", value: (session) => energy(session.energyDc) },
      { title: "Charge", className: "number minor", value: (session) => `${soc(session.socFrom)} → ${soc(session.socTo)}` },
      { title: "Rests on", className: "minor", value: (session) => session.coverage.quality },
    ],
    { key: (session) => session.sessionId, rowClass: (session) => (session.alerts.length ? "low" : "") },
  );

  async function figures(session, signal) {
    const found = known.get(session.sessionId);
    if (found && found.endedAt === session.endedAt && found.startedAt === session.startedAt) return found;
    const { body } = await ask(`/v1/analytics/sessions/${session.sessionId}`, { signal });
    const old = session.endedAt && Date.now() - Date.parse(session.endedAt) > 3_600_000; // late readings
    if (old) known.set(session.sessionId, body);
    return body;
  }

  return {
    node: h("div", {}, table.node, note),
    // The sessions that touch the window, with the figures of each as a whole.
    async ask(id, query, signal) {
      const path = `/v1/sessions?vehicleId=${encodeURIComponent(id)}&${query}&limit=${ASKED}`;
      const { body, more } = await ask(path, { signal });
      const all = await Promise.all(body.map((session) => figures(session, signal)));
      return Object.assign(all, { more });
    },
    show(sessions) {
      table.show(sessions);
      table.node.hidden = sessions.length === 0;
      const cut = sessions.more ? `The newest ${ASKED} are shown. ` : "";
      note.textContent = sessions.length ? `${cut}Figures are those of whole sessions, also where the day cuts them.` : "It has not charged in this time.";
    },
  };
}

function duration(session) {
  const text = lasting(session.durationMinutes * 60_000);
  if (session.isActive) return `${text}, still charging`;
  return session.endReason === "timeout" ? `${text}, ended by silence` : text;
}

// Where to look first: at the charger, when the low sessions have one in common.
export function suspicion(sessions) {
  const low = sessions.filter(isLow);
  const meters = [...new Set(low.map((session) => session.meterId))];
  if (low.length === 0) return "";
  if (meters.length > 1) return `It is low at ${meters.length} chargers: look at the vehicle first.`;
  const others = sessions.some((session) => session.meterId !== meters[0] && session.coverage.quality !== "none");
  const which = `${plural(low.length, "session")} under 85 %, at charger ${meters[0]}`;
  return others ? `${which}, and not elsewhere: look at that charger first.` : `${which}; it charged nowhere else: look at the charger, then at the vehicle.`;
}
