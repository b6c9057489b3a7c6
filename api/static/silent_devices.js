// The devices that have stopped reporting.

import { deviceLink, h } from "./dom.js";
import { ago, clock, count, duration, plural } from "./format.js";
import { ask } from "./http.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { Table } from "./table.js";

export const SILENCE_MINUTES = 5;
const EVERY_MS = 15_000;
const ASKED = 50;
const SHOWN_AT_FIRST = 5;
const PATH = `/v1/devices/silent?minutes=${SILENCE_MINUTES}&limit=${ASKED}`;

// `tile` shows how many they are.
export function silentDevicesPanel(tile) {
  const panel = new Panel("Silent devices", {
    loading: "Asking for silent devices …",
    className: "silent",
  });
  const table = new Table(
    "Devices that have stopped reporting, those that fell silent last first",
    COLUMNS,
    { key: ({ stream, deviceId }) => `${stream} ${deviceId}`, first: SHOWN_AT_FIRST },
  );
  const note = h("p", { class: "note" });
  panel.body.append(table.node, note);
  panel.poll(
    EVERY_MS,
    (signal) => ask(PATH, { signal }),
    ({ body: silence }) => {
      const all = silence.meters + silence.vehicles;
      tile.show(...silenceShown(silence));
      table.show(silence.devices, all);
      note.textContent = cutNote(silence);
      if (all === 0) panel.empty(nobodyText(silence));
    },
    () => tile.show("unknown", "the API did not say", "warn"),
  );
  return panel;
}

const knownDevices = ({ knownMeters, knownVehicles }) => knownMeters + knownVehicles;

// What the tile shows: [value, note, judged]. Where no device is known, none can be silent.
export function silenceShown(silence) {
  const { meters, vehicles } = silence;
  const known = knownDevices(silence);
  if (known === 0) return ["0", "no device is known yet", ""];
  if (meters + vehicles === 0) return ["0", `all of ${plural(known, "device")} report`, "good"];
  const kinds = `${plural(meters, "meter")}, ${plural(vehicles, "vehicle")}`;
  return [count(meters + vehicles), kinds, "warn"];
}

// Why there is no list.
export function nobodyText(silence) {
  return knownDevices(silence) === 0
    ? "No device has reported or is registered yet."
    : `Every device has reported in the last ${SILENCE_MINUTES} minutes.`;
}

function cutNote({ meters, vehicles, devices }) {
  const all = meters + vehicles;
  if (all <= devices.length) return "";
  const last = devices[0]?.lastReading;
  const since = last ? `the last fell silent ${ago(last)}` : "none was ever heard of";
  return `${count(all)} in all; ${since}.`;
}

const silentFor = ({ lastReading }) =>
  lastReading ? duration(serverNow() - Date.parse(lastReading)) : "";

const COLUMNS = [
  {
    title: "Device",
    value: ({ deviceId }) => deviceId,
    render: ({ stream, deviceId }) => deviceLink(stream, deviceId),
  },
  { title: "Kind", value: ({ stream }) => stream },
  {
    title: "Last reading",
    value: ({ lastReading }) => (lastReading ? clock(lastReading) : "never"),
  },
  { title: "Silent for", value: silentFor },
];
