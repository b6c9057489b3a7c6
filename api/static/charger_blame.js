// Whether a charger or a car on it loses energy, over the 31 days up to the end of the chosen window:
// a verdict, since when, how sure it is, the days as a chart, and the vehicles it rests on.

import { chargerVehicles } from "./charger_vehicles.js";
import { chargerOrCar, sinceText } from "./charger_verdict.js";
import { askKnown } from "./device_figures.js";
import { h, say, vehicleLink } from "./dom.js";
import { figuresChart } from "./figures_chart.js";
import { energy, percent } from "./format.js";
import { pathSegment } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { DAY_MS, daysUpTo, isoDay, windowOf, windowQuery } from "./time_window.js";
import { chartLabel, timeColumn } from "./vehicle_hours.js";

const EVERY_MS = 60_000;
const BANDS = ["efficiency", "energy"];
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
  const days = figuresChart("The charger's days", COLUMNS, { bands: BANDS });
  const vehicles = chargerVehicles(chosen);
  panel.body.append(verdict, since, sure, vehicles.node, days.node, note);
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
      say(since, sinceText(figures.groups, limits));
      say(sure, found.sure);
      vehicles.show(figures.vehicles, limits);
      days.show(daysShown(figures, window, limits), limits);
      say(note, noteText(figures, window));
    },
  );
  return { panel, stop: days.stop };
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

function daysShown({ groups, metrics }, window, limits) {
  const hours = groups
    .filter(({ metrics: { chargingSessions } }) => chargingSessions > 0)
    .map(dayOf);
  const label = chartLabel(hours, metrics.chargingSessions, limits, DAY_MS);
  return { hours, label, slotMs: DAY_MS, ...window };
}

// A day of the API as the chart takes it. One that rests on nothing has no efficiency.
export function dayOf({ start, metrics, coverage, alerts }) {
  return {
    hour: `${isoDay(start)}T00:00:00Z`,
    day: isoDay(start),
    energyAc: metrics.totalEnergyConsumedAc,
    energyDc: metrics.totalEnergyDeliveredDc,
    efficiency: coverage.quality === "none" ? null : metrics.efficiencyRatio,
    avgTemp: null,
    quality: coverage.quality,
    alerts,
  };
}

function noteText({ beingRedone }, { start, end }) {
  const extent = `The 31 days from ${isoDay(start)} to ${isoDay(end - 1)}.`;
  return beingRedone ? `${extent} ${REDONE}` : extent;
}

const QUALITIES = { complete: "complete", partial: "partial", none: "nothing" };
const COLUMNS = [
  timeColumn,
  { title: "AC kWh", className: "number", value: ({ energyAc }) => energy(energyAc) },
  { title: "DC kWh", className: "number", value: ({ energyDc }) => energy(energyDc) },
  {
    title: "Efficiency",
    className: "number ratio",
    value: ({ efficiency }) => percent(efficiency),
  },
  { title: "Readings", value: ({ quality }) => QUALITIES[quality] },
];
