// The fleet now: how fast readings come in, how far the workers are behind, what was refused, and
// who has fallen silent.

import { ago, clock, count, lasting, plural, rate } from "./format.js";
import { h, idText, vehicleLink } from "./dom.js";
import { ask, serverNow } from "./http.js";
import { Pace, sums } from "./pace.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";
import { Tile, tiles } from "./tiles.js";

const STATS_MS = 4_000;
const SILENT_MS = 15_000;
const SILENCE_MINUTES = 5;
const SILENT_SHOWN = 50;
const LAG_TO_NOTICE_S = 10;

export function nowPanel() {
  const panel = new Panel("The fleet now", { loading: "Asking for the books …", className: "wide" });
  const pace = new Pace();
  const readings = new Tile("Readings a second", "measuring …");
  const lag = new Tile("Waiting in Kafka");
  const rejected = new Tile("Rejected, not resolved");
  const silent = new Tile(`Silent for ${SILENCE_MINUTES} minutes`);
  panel.body.append(tiles(readings, lag, rejected, silent));
  panel.silentTile = silent;

  panel.poll(STATS_MS, async (signal) => (await ask("/v1/telemetry/stats", { signal })).body, (stats) => {
    const now = sums(stats);
    const perSecond = pace.add(now);
    showReadings(readings, perSecond, now, pace);
    showLag(lag, now.lag, perSecond);
    showRejected(rejected, now.rejected, stats);
  });
  return panel;
}

function showReadings(tile, perSecond, now, pace) {
  const read = `${count(now.read)} read so far`;
  if (perSecond === null) return tile.show("measuring …", read);
  tile.extra.replaceChildren(pace.line());
  if (perSecond > 0) return tile.show(rate(perSecond), read);
  const why = now.lag ? "readings wait, no worker takes them" : `nothing comes in; ${read}`;
  return tile.show("0", why, now.lag ? "bad" : "warn");
}

function showLag(tile, lag, perSecond) {
  if (lag === null) return tile.show("unknown", "Kafka does not answer", "bad");
  if (lag === 0) return tile.show("0", "records: the workers keep up", "good");
  const behind = perSecond ? lag / perSecond : 0;
  const far = behind > LAG_TO_NOTICE_S;
  return tile.show(count(lag), far ? "records: the workers are behind" : "records on their way", far ? "warn" : "");
}

function showRejected(tile, total, stats) {
  const reasons = new Map();
  for (const topic of stats.topics)
    for (const [reason, number] of Object.entries(topic.rejected.byReason))
      reasons.set(reason, (reasons.get(reason) ?? 0) + number);
  const found = [...reasons].sort((one, other) => other[1] - one[1]);
  const text = found.map(([reason, number]) => `${reason.replace("_", " ")} ${count(number)}`).join(", ");
  tile.show(count(total), total ? text : "nothing was refused", total ? "" : "good");
}

export function silentPanel(tile) {
  const panel = new Panel("Silent devices", { loading: "Asking who has fallen silent …", className: "silent" });
  const table = new Table(
    "Devices that have stopped reporting, those that fell silent last first",
    [
      { title: "Device", value: (device) => device.deviceId, render: device },
      { title: "Kind", value: (device) => device.stream },
      { title: "Last reading", value: (device) => (device.lastReading ? clock(device.lastReading) : "never") },
      { title: "Silent for", value: (device) => (device.lastReading ? lasting(serverNow() - Date.parse(device.lastReading)) : "") },
    ],
    { key: (device) => `${device.stream} ${device.deviceId}`, first: 5 },
  );
  const more = h("p", { class: "note" });
  panel.body.append(table.node, more);
  const path = `/v1/devices/silent?minutes=${SILENCE_MINUTES}&limit=${SILENT_SHOWN}`;
  panel.poll(SILENT_MS, async (signal) => (await ask(path, { signal })).body, (silence) => {
    const all = silence.meters + silence.vehicles;
    const kinds = `${plural(silence.meters, "meter")}, ${plural(silence.vehicles, "vehicle")}`;
    tile.show(count(all), all ? kinds : "every device reports", all ? "warn" : "good");
    table.show(silence.devices);
    const [last] = silence.devices;
    more.textContent = all > silence.devices.length ? `${count(all)} in all; the last fell silent ${ago(last?.lastReading)}.` : "";
    if (all === 0) panel.empty(`Every device has reported in the last ${SILENCE_MINUTES} minutes.`);
  }, () => tile.show("unknown", "the API did not say", "warn"));
  return panel;
}

const device = ({ stream, deviceId }) => (stream === "vehicle" ? vehicleLink(deviceId) : idText(deviceId));
