// The devices that have stopped reporting, and those that were retired: they count as silent no more.

import { deviceLink, h, say } from "./dom.js";
import { ago, clock, count, duration, plural } from "./format.js";
import { ask, pathSegment } from "./http.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { Table } from "./table.js";

export const SILENCE_MINUTES = 5;
const EVERY_MS = 15_000;
const ASKED = 50;
const SHOWN_AT_FIRST = 5;
const PATH = `/v1/devices/silent?minutes=${SILENCE_MINUTES}&limit=${ASKED}`;
const UNREGISTERED = "Not registered: only registered devices can be retired.";

// `tile` shows how many they are; a reader who `mayRetire` can retire them and bring them back.
export function silentDevicesPanel(tile, mayRetire) {
  const panel = new Panel("Silent devices", {
    loading: "Asking for silent devices …",
    className: "silent",
  });
  const change = activityChange(() => {
    panel.asking.askNow();
    retired.ask();
  });
  const retired = retiredDevices(mayRetire, change);
  const retire = (device) => {
    const again = () => change.make(device, true);
    return change.make(device, false, h("button", { type: "button", onclick: again }, "Undo"));
  };
  const table = new Table(
    "Devices that have stopped reporting, those that fell silent last first",
    mayRetire ? [...COLUMNS, actionColumn("Retire", retire)] : COLUMNS,
    { key: deviceKey, first: SHOWN_AT_FIRST },
  );
  const note = h("p", { class: "note" });
  panel.body.append(table.node, note);
  panel.node.append(change.node, retired.node);
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

const deviceKey = ({ stream, deviceId }) => `${stream} ${deviceId}`;

// {node, make}: says what came of retiring a device or bringing it back; `changed` is called then.
function activityChange(changed) {
  const told = h("span", { role: "status", tabindex: "-1" });
  const undo = h("span", {});
  const node = h("p", { class: "told" }, told, " ", undo);
  const make = async ({ stream, deviceId }, isActive, undoButton = null) => {
    undo.replaceChildren();
    try {
      const path = `/v1/devices/${stream}s/${pathSegment(deviceId)}`;
      await ask(path, { method: "PATCH", body: { isActive } });
      say(told, isActive ? `${deviceId} is back.` : `${deviceId} is retired.`);
      if (undoButton) {
        undo.append(undoButton);
        undoButton.focus();
      } else told.focus(); // The button that had it is gone.
      changed();
    } catch (error) {
      say(told, error.message);
    }
  };
  return { node, make };
}

// {node, ask}: the retired devices, asked for when the reader opens them, and after a change.
function retiredDevices(mayRetire, change) {
  const bringBack = (device) => change.make(device, true);
  const table = new Table(
    "Retired devices, those that were heard of last first",
    mayRetire ? [...COLUMNS, actionColumn("Bring back", bringBack)] : COLUMNS,
    { key: deviceKey, first: SHOWN_AT_FIRST },
  );
  const note = h("p", { class: "note" }, "Loading …");
  const node = h("details", {}, h("summary", {}, "Retired devices"), table.node, note);
  const askRetired = async () => {
    if (!node.open) return;
    try {
      const { body } = await ask(`${PATH}&retired=true`);
      const all = body.meters + body.vehicles;
      table.show(body.devices, all);
      table.node.hidden = all === 0;
      say(note, all === 0 ? "None. A retired device counts as silent no more." : "");
    } catch (error) {
      say(note, error.message);
    }
  };
  node.addEventListener("toggle", askRetired);
  return { node, ask: askRetired };
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

// A button for registered devices; of the others it says why there is none.
function actionColumn(word, act) {
  const render = (device) => {
    if (!device.registered) return h("span", { class: "detail" }, UNREGISTERED);
    const name = `${word} ${device.stream} ${device.deviceId}`;
    const onclick = () => act(device);
    return h("button", { type: "button", "aria-label": name, onclick }, word);
  };
  return { title: word, className: "act", value: ({ registered }) => registered, render };
}

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
