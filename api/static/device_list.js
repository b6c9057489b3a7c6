// A list of registered chargers or vehicles to search: what is typed is a part of an id, a location, a
// VIN or a model.

import { chargerLink, h, say, vehicleLink } from "./dom.js";
import { count } from "./format.js";
import { ask } from "./http.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";

const EVERY_MS = 60_000;
const TYPING_MS = 250;
const ASKED = 100;
const SHOWN_AT_FIRST = 12;
const MAX_CHARACTERS = 200;
const STATES = [
  ["", "all"],
  ["true", "active"],
  ["false", "retired"],
];
const KINDS = {
  meter: {
    plural: "meters",
    title: "Find a charger",
    label: "Part of its id or location",
    nothing: "No registered charger",
    columns: [
      column("Charger", "meterId", chargerLink),
      column("Location", "location"),
      { ...column("kW", "capacityKw"), className: "number" },
    ],
  },
  vehicle: {
    plural: "vehicles",
    title: "Find a vehicle",
    label: "Part of its id, VIN or model",
    nothing: "No registered vehicle",
    columns: [
      column("Vehicle", "vehicleId", vehicleLink),
      column("Model", "model"),
      column("VIN", "vin"),
    ],
  },
};

function column(title, name, link = null) {
  const value = (device) => String(device[name] ?? "–");
  return link ? { title, value, render: (device) => link(device[name]) } : { title, value };
}

const STATE = { title: "State", value: ({ isActive }) => (isActive ? "active" : "retired") };

// A panel. `stream` is meter or vehicle; `text` is what is sought at first.
export function deviceList(stream, text) {
  const kind = KINDS[stream];
  const input = h("input", { type: "search", maxlength: MAX_CHARACTERS, value: text });
  const options = STATES.map(([value, name]) => h("option", { value }, name));
  const select = h("select", {}, options);
  const panel = new Panel(kind.title, {
    loading: "Asking for devices …",
    aside: h(
      "div",
      { class: "days" },
      h("label", {}, `${kind.label} `, input),
      h("label", {}, "Show ", select),
    ),
  });
  const [first] = kind.columns;
  const table = new Table(`${kind.title}: those found`, [...kind.columns, STATE], {
    key: first.value,
    first: SHOWN_AT_FIRST,
  });
  const note = h("p", { class: "note", role: "status" });
  panel.body.append(table.node, note);
  panel.poll(
    EVERY_MS,
    (signal) => ask(listPath(kind.plural, input.value, select.value), { signal }),
    ({ body, more }) => {
      table.show(body, more ? null : body.length);
      say(note, more ? `The first ${count(body.length)} are listed: type more of it.` : "");
      if (body.length === 0) panel.empty(nothingText(kind, input.value));
    },
  );
  listen(panel, input, select);
  return panel;
}

function listen(panel, input, select) {
  let typing = 0;
  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => panel.asking.askNow(), TYPING_MS);
  });
  select.addEventListener("change", () => panel.asking.askNow());
}

// The path of the devices of a kind with this part; an empty state means all.
export function listPath(plural, search, isActive = "", limit = ASKED) {
  const state = isActive ? `&isActive=${isActive}` : "";
  const part = search ? `&search=${encodeURIComponent(search)}` : "";
  return `/v1/devices/${plural}?limit=${limit}${part}${state}`;
}

const nothingText = ({ nothing }, text) => (text ? `${nothing} has “${text}”.` : `${nothing} yet.`);
