// The rejected readings that nobody has resolved, each with its reason, its bytes and, for those who
// may, a button that replays it. While a reader is in the list it stands still, so that nothing moves under a pointer
// that is about to press "Replay".

import { h, idText, say } from "./dom.js";
import { clock, count } from "./format.js";
import { ask } from "./http.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";

const EVERY_MS = 10_000;
const ASKED = 50;
const SHOWN_AT_FIRST = 6;
const PATH = "/v1/telemetry/rejected";
const REASONS = {
  malformed: "no JSON",
  invalid: "JSON, but no valid reading",
  too_old: "older than readings may be",
  in_future: "ahead of the clock",
  conflict: "other values than the stored reading of that time",
  refused: "PostgreSQL would not take the row",
};

export class RejectedReadingsPanel extends Panel {
  // Readings can be replayed where the reader `mayReplay`.
  constructor(mayReplay) {
    const select = reasonSelect();
    super("Rejected readings", {
      loading: "Asking for rejected readings …",
      aside: h("label", {}, "Reason ", select),
      className: "rejected",
    });
    this.select = select;
    this.readings = []; // Those of the last answer that was shown.
    this.isCut = false; // Whether there were more.
    this.heldAnswer = null; // An answer that waits until the reader leaves the list.
    this.reasonChanged = false;
    this.results = new Map(); // The results of replays, by id.
    this.resolved = new Map(); // Readings a replay resolved, by id; the API lists them no more.
    this.focusTargets = new Map(); // What is focused after a replay, by id.
    this.announcement = h("p", { class: "told", role: "status" });
    this.note = h("p", { class: "note" });
    this.table = new Table(
      "Rejected readings that nobody has resolved, newest first",
      mayReplay ? [...COLUMNS, this.#replayColumn()] : COLUMNS,
      { key: ({ id }) => id, first: SHOWN_AT_FIRST },
    );
    this.body.append(this.announcement, this.table.node, this.note);
    this.poll(
      EVERY_MS,
      (signal) => ask(listPath(select.value), { signal }),
      (answer) => this.#take(answer),
    );
    this.#listen();
  }

  #listen() {
    this.select.addEventListener("change", () => {
      this.resolved.clear();
      this.heldAnswer = null;
      this.reasonChanged = true;
      this.asking.askNow();
    });
    // The element that takes over focus or pointer is known only after the event.
    for (const event of ["focusout", "pointerleave"]) {
      this.table.node.addEventListener(event, () => setTimeout(() => this.#release()));
    }
  }

  get #occupied() {
    return this.table.node.matches(":hover, :focus-within");
  }

  #take(answer) {
    const newer = countNewer(answer.body, this.readings);
    const holds = this.#occupied && !this.reasonChanged && this.readings.length > 0;
    if (holds && newer > 0) {
      this.heldAnswer = answer;
      say(this.note, `${count(newer)} newer, shown when you leave the list.`);
      return;
    }
    this.heldAnswer = null;
    this.reasonChanged = false;
    this.readings = answer.body;
    this.isCut = answer.more;
    say(this.note, answer.more ? `The newest ${ASKED} are shown.` : "");
    this.#draw();
  }

  #release() {
    if (this.heldAnswer && !this.#occupied) this.#take(this.heldAnswer);
  }

  #draw() {
    const readings = newestFirst([...this.resolved.values(), ...this.readings]);
    this.table.show(readings, this.isCut ? null : readings.length);
    if (readings.length === 0) this.empty(nothingText(this.select.value));
  }

  async #replay({ id }) {
    const focused = this.table.node.contains(document.activeElement);
    this.results.set(id, { text: "Replaying …", state: "busy" });
    this.#draw();
    try {
      const { body } = await ask(`${PATH}/${id}/replay`, { method: "POST" });
      this.resolved.set(id, body.record);
      const text = body.outcome === "stored" ? "Stored now" : "It was stored already: a duplicate";
      this.results.set(id, { text, state: "good" });
      say(this.announcement, `Rejected reading ${id}: ${text}`);
    } catch (error) {
      const text = error.message.replace(`Rejected reading ${id} is still`, "Still");
      this.results.set(id, { text, state: "bad" });
      say(this.announcement, error.message);
    }
    this.#draw();
    if (focused) this.focusTargets.get(id)?.focus(); // The button that had it was replaced.
  }

  #replayColumn() {
    return {
      title: "Again",
      className: "act",
      value: ({ id }) => JSON.stringify(this.results.get(id) ?? null),
      render: (reading) => this.#replayNode(reading),
    };
  }

  #replayNode(reading) {
    const { id } = reading;
    const result = this.results.get(id);
    const disabled = this.resolved.has(id) || result?.state === "busy";
    const button = h(
      "button",
      { type: "button", "aria-label": `Replay rejected reading ${id}`, disabled },
      "Replay",
    );
    button.addEventListener("click", () => this.#replay(reading));
    const text = result
      ? h("p", { class: `result ${result.state}`, tabindex: "-1" }, result.text)
      : null;
    this.focusTargets.set(id, disabled ? text : button);
    return h("div", {}, button, text);
  }
}

function reasonSelect() {
  const options = Object.entries(REASONS).map(([reason, meaning]) =>
    h("option", { value: reason }, `${reason}: ${meaning}`),
  );
  return h("select", {}, h("option", { value: "" }, "all reasons"), options);
}

// The path of the list; an empty reason means all.
export function listPath(reason) {
  return `${PATH}?resolved=false&limit=${ASKED}${reason ? `&reason=${reason}` : ""}`;
}

// How many readings of `listed` are not among the `shown`.
export function countNewer(listed, shown) {
  const known = new Set(shown.map(({ id }) => id));
  return listed.filter(({ id }) => !known.has(id)).length;
}

// The readings by id, the highest first; the later one of two with the same id counts.
export function newestFirst(readings) {
  const byId = new Map(readings.map((reading) => [reading.id, reading]));
  return [...byId.values()].sort((one, other) => other.id - one.id);
}

const nothingText = (reason) =>
  reason ? `Nothing is rejected as ${reason}.` : "No rejected reading waits for anyone.";

function deviceNode({ deviceId, rejectedAt }) {
  const name = deviceId === null ? "unknown" : idText(deviceId);
  return h("div", {}, name, h("time", { class: "when", datetime: rejectedAt }, clock(rejectedAt)));
}

function reasonNode(reading) {
  const detail = h("span", { class: "detail" }, reading.detail);
  return h("div", {}, h("strong", {}, reading.reason), " ", detail, bytesNode(reading));
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

const COLUMNS = [
  { title: "Device", value: ({ rejectedAt }) => clock(rejectedAt), render: deviceNode },
  { title: "Reason", className: "why", value: ({ id }) => id, render: reasonNode },
];
