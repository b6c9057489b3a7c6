// The newest readings of a group of rejected ones, asked for when it is opened: each with what is wrong,
// its bytes and, where a replay can help and the reader may, a button for it; else why it cannot.

import { h, say } from "./dom.js";
import { clock } from "./format.js";
import { ask } from "./http.js";
import { serverNow } from "./server_clock.js";

const PATH = "/v1/telemetry/rejected";
const SHOWN = 5;
const ASKED_OF_UNKNOWN = 50; // Those of known devices come in between.
const WHY_NOT = {
  malformed: "nothing can be read from it; the sender must send it again",
  conflict: "another reading is stored at that time; correct that one instead",
  too_old: "it is still older than readings may be",
  in_future: "its time has not come yet",
  repaired: "it is stored without what was wrong",
};
const FOREIGN = "its topic is none that this deployment reads";
const NOT_KEPT = "its bytes were not kept; read its record from Kafka again";

// `tell` is called with what a replay came to.
export function groupDetails(group, mayReplay, tell) {
  const list = h("ul", { class: "latest" }, h("li", {}, "Loading …"));
  const why = whyNone(group);
  const details = h(
    "details",
    {},
    h("summary", { "aria-label": summaryLabel(group) }, "The newest"),
    why && mayReplay ? h("p", { class: "note" }, `A replay cannot help: ${why}.`) : null,
    list,
  );
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const readings = await newestOf(group);
      list.replaceChildren(
        ...readings.map((reading) => readingNode(reading, group, mayReplay, tell)),
      );
    } catch (error) {
      list.replaceChildren(h("li", {}, error.message));
    }
  });
  return details;
}

const summaryLabel = ({ deviceId, reason }) =>
  `The newest rejected as ${reason} of ${deviceId ?? "unknown devices"}`;

async function newestOf(group) {
  const { body } = await ask(newestPath(group));
  return body.filter(({ deviceId }) => deviceId === group.deviceId).slice(0, SHOWN);
}

// The path of a group's newest readings. The API cannot be asked for those without a device alone: the
// list begins with the newest of them, and may hold others.
export function newestPath({ topic, deviceId, reason, latestId }) {
  const query = { resolved: false, topic, reason };
  const which =
    deviceId === null
      ? { after: latestId + 1, limit: ASKED_OF_UNKNOWN }
      : { deviceId, limit: SHOWN };
  return `${PATH}?${new URLSearchParams({ ...query, ...which })}`;
}

// Why no reading of the group can be helped by a replay; empty when one may be.
export const whyNone = ({ replayable, reason }) => (replayable ? "" : (WHY_NOT[reason] ?? FOREIGN));

// Why a replay cannot help this one of a group where it may help others; empty when it may.
export function whyNot({ rawBytes, reason, readingAt }) {
  if (rawBytes === null) return NOT_KEPT;
  const isAhead = reason === "in_future" && Date.parse(readingAt) > serverNow();
  return isAhead ? WHY_NOT.in_future : "";
}

function readingNode(reading, group, mayReplay, tell) {
  const { rejectedAt, detail } = reading;
  const time = h("time", { class: "when", datetime: rejectedAt }, clock(rejectedAt));
  const what = h("div", {}, time, h("span", { class: "detail" }, detail), bytesNode(reading));
  return h("li", {}, what, mayReplay && group.replayable ? replayNode(reading, tell) : null);
}

// The reading's place in Kafka and its bytes, which are asked for when it is opened.
function bytesNode({ id, topic, partition, offset }) {
  const bytes = h("pre", { tabindex: "0", "aria-label": "Its bytes" }, "Loading …");
  const place = h("p", { class: "note" }, `${topic} ${partition} @ ${offset}`);
  const details = h("details", {}, h("summary", {}, "Bytes"), place, bytes);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const { body } = await ask(`${PATH}/${id}`);
      bytes.textContent = bytesText(body.raw);
    } catch (error) {
      bytes.textContent = error.message;
    }
  });
  return details;
}

export function bytesText(raw) {
  if (raw === null) return "They were not kept; Kafka has them at that offset.";
  return raw || "(none: an empty value)";
}

function replayNode(reading, tell) {
  const why = whyNot(reading);
  if (why) return h("p", { class: "note" }, `A replay cannot help: ${why}.`);
  const { id } = reading;
  const name = { type: "button", "aria-label": `Replay rejected reading ${id}` };
  const button = h("button", name, "Replay");
  const result = h("p", { class: "result", tabindex: "-1", hidden: true });
  button.addEventListener("click", () => replay(id, button, result, tell));
  return h("div", {}, button, result);
}

async function replay(id, button, result, tell) {
  const focused = document.activeElement === button;
  const show = (text, state) => {
    result.hidden = false;
    result.className = `result ${state}`;
    say(result, text);
  };
  button.disabled = true;
  show("Replaying …", "busy");
  try {
    const { body } = await ask(`${PATH}/${id}/replay`, { method: "POST" });
    const text = body.outcome === "stored" ? "Stored now" : "It was stored already: a duplicate";
    show(text, "good");
    if (focused) result.focus(); // The button that had it takes it no more.
    tell(`Rejected reading ${id}: ${text}`);
  } catch (error) {
    button.disabled = false;
    if (focused) button.focus();
    show(error.message.replace(`Rejected reading ${id} is still`, "Still"), "bad");
    tell(error.message);
  }
}
