// What was refused and why, with its bytes and another chance. While a reader is in the list it
// stands still: nothing moves under a pointer that is about to press "Replay".

import { h, idText, say } from "./dom.js";
import { clock, count } from "./format.js";
import { ask } from "./http.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";

const EVERY_MS = 10_000;
const ASKED = 50;
const REASONS = {
  malformed: "no JSON",
  invalid: "JSON, but no valid reading",
  too_old: "older than readings may be",
  in_future: "ahead of the clock",
  conflict: "other values than the stored reading of that time",
  refused: "PostgreSQL would not take the row",
};

export class RejectedPanel extends Panel {
  constructor() {
    const select = h("select", {}, h("option", { value: "" }, "all reasons"), Object.entries(REASONS).map(([reason, meaning]) => h("option", { value: reason }, `${reason}: ${meaning}`)));
    super("Rejected readings", { loading: "Asking what was refused …", aside: h("label", {}, "Reason ", select), className: "rejected" });
    this.select = select;
    this.results = new Map(); // what became of replays, by id
    this.replayed = new Map(); // their records, which the API lists no more
    this.actions = new Map(); // what is focused after a replay, by id
    this.items = [];
    this.held = null;
    this.told = h("p", { class: "told", role: "status" });
    this.note = h("p", { class: "note" });
    this.table = new Table("Rejected readings that nobody has resolved, newest first", this.columns(), {
      key: (record) => record.id,
      first: 6,
    });
    this.body.append(this.told, this.table.node, this.note);
    const question = (signal) => {
      const reason = select.value ? `&reason=${select.value}` : "";
      return ask(`/v1/telemetry/rejected?resolved=false&limit=${ASKED}${reason}`, { signal });
    };
    this.poll(EVERY_MS, question, (answer) => this.take(answer));
    select.addEventListener("change", () => {
      this.replayed.clear();
      this.held = null;
      this.selected = true;
      this.asking.now();
    });
    for (const event of ["focusout", "pointerleave"]) this.table.node.addEventListener(event, () => setTimeout(() => this.release()));
  }

  get occupied() {
    return this.table.node.matches(":hover, :focus-within");
  }

  take(answer) {
    const known = new Set(this.items.map((record) => record.id));
    const fresh = answer.body.filter((record) => !known.has(record.id)).length;
    if (this.occupied && !this.selected && this.items.length && fresh) {
      this.held = answer;
      say(this.note, `${count(fresh)} newer, shown when you leave the list.`);
      return;
    }
    this.held = null;
    this.selected = false;
    this.items = answer.body;
    say(this.note, answer.more ? `The newest ${ASKED} are shown.` : "");
    this.draw();
  }

  release() {
    if (this.held && !this.occupied) this.take(this.held);
  }

  draw() {
    const listed = new Map([...this.replayed, ...this.items.map((record) => [record.id, record])]);
    const records = [...listed.values()].sort((one, other) => other.id - one.id);
    this.table.show(records);
    if (records.length === 0) this.empty(this.select.value ? `Nothing is rejected as ${this.select.value}.` : "No rejected reading waits for anyone.");
  }

  async replay(record) {
    const focused = this.table.node.contains(document.activeElement);
    this.results.set(record.id, { text: "Replaying …", state: "busy" });
    this.draw();
    let result, told;
    try {
      const { body } = await ask(`/v1/telemetry/rejected/${record.id}/replay`, { method: "POST" });
      this.replayed.set(record.id, body.record);
      const text = body.outcome === "stored" ? "Stored now" : "It was stored already: a duplicate";
      result = { text, state: "good" };
    } catch (trouble) {
      result = { text: trouble.message.replace(`Rejected reading ${record.id} is still`, "Still"), state: "bad" };
      told = trouble.message;
    }
    this.results.set(record.id, result);
    say(this.told, told ?? `Rejected reading ${record.id}: ${result.text}`);
    this.draw();
    if (focused) this.actions.get(record.id)?.focus(); // its button was replaced
  }

  columns() {
    const from = (record) => `${record.topic} ${record.partition} @ ${record.offset}`;
    return [
      { title: "Device", value: (record) => clock(record.rejectedAt), render: device },
      {
        title: "Reason",
        className: "why",
        value: (record) => record.id,
        render: (record) => h("div", {}, h("strong", {}, record.reason), " ", h("span", { class: "detail" }, record.detail), bytes(record, from(record))),
      },
      { title: "Again", className: "act", value: (record) => JSON.stringify(this.results.get(record.id) ?? null), render: (record) => this.action(record) },
    ];
  }

  action(record) {
    const result = this.results.get(record.id);
    const name = `Replay rejected reading ${record.id}`;
    const done = this.replayed.has(record.id) || result?.state === "busy";
    const button = h("button", { type: "button", "aria-label": name, disabled: done, onclick: () => this.replay(record) }, "Replay");
    const told = result ? h("p", { class: `result ${result.state}`, tabindex: "-1" }, result.text) : null;
    this.actions.set(record.id, done ? told : button);
    return h("div", {}, button, told);
  }
}

function device({ deviceId, rejectedAt }) {
  const name = deviceId === null ? "unknown" : idText(deviceId);
  return h("div", {}, name, h("time", { class: "when", datetime: rejectedAt }, clock(rejectedAt)));
}

// The reading's bytes, asked for when they are wanted.
function bytes(record, from) {
  const shown = h("pre", { tabindex: "0", "aria-label": "Its bytes" }, "Loading …");
  const details = h("details", {}, h("summary", {}, "Bytes"), h("p", { class: "note" }, from), shown);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const { body } = await ask(`/v1/telemetry/rejected/${record.id}`);
      shown.textContent = body.raw === null ? "They were not kept; Kafka has them at that offset." : body.raw || "(none: an empty value)";
    } catch (trouble) {
      shown.textContent = trouble.message;
    }
  });
  return details;
}
