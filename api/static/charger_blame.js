// Whether a charger or a car on it loses energy, over the 31 days up to the end of the chosen window:
// a verdict, since when, how sure it is, the days as a chart, and the vehicles it rests on.

import { chargerVehicles } from "./charger_vehicles.js";
import { chargerOrCar, sinceText } from "./charger_verdict.js";
import { daysFigure } from "./days_figure.js";
import { askKnown } from "./device_figures.js";
import { h, say, vehicleLink } from "./dom.js";
import { pathSegment } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { daysUpTo, isoDay, windowOf, windowQuery } from "./time_window.js";

const EVERY_MS = 60_000;
const REDONE = "Figures are being added up anew: until that is done, old and new mix.";

// {panel, stop}
export function chargerBlame(id, chosen) {
  const panel = new Panel("The charger or the car?", {
    loading: "Comparing the vehicles on it …",
    className: "wide",
  });
  const verdict = h("p", { class: "verdict" });
  const since = h("p", { class: "since" });
  const sure = h("p", { class: "sure" });
  const note = h("p", { class: "note" });
  const figure = daysFigure("The charger's days, the newest first");
  const vehicles = chargerVehicles(chosen);
  panel.body.append(verdict, since, sure, vehicles.node, figure.node, note);
  panel.poll(
    EVERY_MS,
    (signal) => askDays(id, chosen, signal),
    ({ figures, limits, window }) => {
      if (figures === null) {
        panel.empty("Nothing is known of it.");
        return;
      }
      const found = chargerOrCar(figures, limits, (vehicle) => vehicleLink(vehicle, chosen));
      verdict.className = `verdict ${found.judged}`;
      verdict.replaceChildren(...found.parts);
      const words = sinceText(figures.groups, limits);
      say(since, words);
      say(sure, found.sure);
      vehicles.show(figures.vehicles, limits);
      const days = figures.groups.filter(({ metrics }) => metrics.chargingSessions > 0);
      figure.show({ days, limits, words, ...window });
      say(note, noteText(figures, window));
    },
  );
  return { panel, stop: figure.stop };
}

async function askDays(id, chosen, signal) {
  const window = daysUpTo(windowOf(chosen, serverNow()));
  const path = `/v1/analytics/meters/${pathSegment(id)}/efficiency`;
  const [limits, figures] = await Promise.all([
    askLimits(signal),
    askKnown(`${path}?${windowQuery(window)}&groupBy=day`, signal),
  ]);
  return { figures, limits, window };
}

function noteText({ beingRedone }, { start, end }) {
  const extent = `The 31 days from ${isoDay(start)} to ${isoDay(end - 1)}.`;
  return beingRedone ? `${extent} ${REDONE}` : extent;
}
