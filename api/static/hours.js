// The hours of a vehicle's day: the chart, drawn to the width there is, and the same as a table.

import { dayChart } from "./chart.js";
import { h } from "./dom.js";
import { celsius, dayAndHour, energy, isLowHour, percent, plural } from "./format.js";
import { Table } from "./table.js";

const NARROWEST = 280;

export function hoursPart() {
  const place = h("div", { class: "chart" });
  const legend = h(
    "figcaption",
    { class: "legend" },
    ...[["ac", "AC drawn from the mains"], ["dc", "DC delivered to the battery"], ["session", "charging session"]].map(([name, text]) =>
      h("span", {}, h("i", { class: `swatch ${name}`, "aria-hidden": "true" }), text),
    ),
    ...[["too-low", "◆", "under 85 %, or over 100 %"], ["fine", "●", "in between"], ["little", "○", "hardly any energy"]].map(([name, sign, text]) =>
      h("span", {}, h("span", { class: name, "aria-hidden": "true" }, `${sign} `), text),
    ),
  );
  const table = new Table(
    "The vehicle's day by the hour",
    [
      { title: "Hour", value: (hour) => dayAndHour(hour.hour) },
      { title: "AC kWh", className: "number", value: (hour) => energy(hour.energyAc) },
      { title: "DC kWh", className: "number", value: (hour) => energy(hour.energyDc) },
      { title: "Efficiency", className: "number ratio", value: (hour) => percent(hour.efficiency) },
      { title: "Temperature", className: "number", value: (hour) => celsius(hour.avgTemp) },
    ],
    { key: (hour) => hour.hour, rowClass: (hour) => (isLowHour(hour) ? "low" : "") },
  );
  const details = h("details", { class: "as-table" }, h("summary", {}, "The chart as a table"), table.node);
  const nothing = h("p", { class: "state" }, "No reading of it lies in this time: there is nothing to draw.");
  const figure = h("figure", {}, place, legend);
  let drawn = null;

  const draw = () => {
    const width = Math.max(NARROWEST, Math.floor(place.clientWidth));
    if (drawn && place.clientWidth) place.replaceChildren(dayChart({ ...drawn, width }));
  };
  const watcher = new ResizeObserver(draw);
  watcher.observe(place);

  return {
    node: h("div", { class: "hours" }, figure, nothing, details),
    stop: () => watcher.disconnect(),
    show({ hourlyBreakdown }, sessions, { start, end }) {
      figure.hidden = details.hidden = hourlyBreakdown.length === 0;
      nothing.hidden = !figure.hidden;
      table.show(hourlyBreakdown);
      drawn = { hours: hourlyBreakdown, sessions, start, end, label: summary(hourlyBreakdown, sessions) };
      draw();
    },
  };
}

function summary(hours, sessions) {
  const low = hours.filter(isLowHour).length;
  const known = hours.filter((hour) => hour.efficiency !== null).length;
  return `Chart of ${plural(hours.length, "hour")} with ${plural(sessions.length, "session")}: energy, efficiency and battery temperature by the hour. Under 85 % in ${low} of ${plural(known, "charging hour")}. The table below has the numbers.`;
}
