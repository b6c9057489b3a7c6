// The rejected readings that nobody has resolved, counted by device and reason: thousands of them have
// a few causes. While a reader is in the list it stands still, so that nothing moves under a pointer
// that is about to press "Replay".

import { deviceLink, h, say } from "./dom.js";
import { clock, count, plural } from "./format.js";
import { ask } from "./http.js";
import { Panel } from "./panel.js";
import { groupDetails } from "./rejected_group.js";
import { Table } from "./table.js";

const EVERY_MS = 15_000;
const ASKED = 100;
const SHOWN_AT_FIRST = 6;
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
    this.groups = []; // Those of the last answer that was shown.
    this.heldAnswer = null; // An answer that waits until the reader leaves the list.
    this.reasonChanged = false;
    this.announcement = h("p", { class: "told", role: "status" });
    this.note = h("p", { class: "note" });
    const details = (group) => groupDetails(group, mayReplay, (text) => this.#replayed(text));
    this.table = new Table(
      "Rejected readings that nobody has resolved, by device and reason, the newest first",
      columns(details),
      { key: groupKey, first: SHOWN_AT_FIRST },
    );
    this.body.append(this.announcement, this.table.node, this.note);
    this.poll(
      EVERY_MS,
      (signal) => ask(groupsPath(select.value), { signal }),
      (answer) => this.#take(answer),
    );
    this.#listen();
  }

  #listen() {
    this.select.addEventListener("change", () => {
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
    const moved = hasMoved(answer.body, this.groups);
    if (moved && this.#occupied && !this.reasonChanged && this.groups.length > 0) {
      this.heldAnswer = answer;
      say(this.note, "There is news, shown when you leave the list.");
      return;
    }
    this.heldAnswer = null;
    this.reasonChanged = false;
    this.groups = answer.body;
    this.table.show(this.groups, answer.more ? null : this.groups.length);
    say(this.note, noteText(this.groups, answer.more));
    if (this.groups.length === 0) this.empty(nothingText(this.select.value));
  }

  #release() {
    if (this.heldAnswer && !this.#occupied) this.#take(this.heldAnswer);
  }

  #replayed(text) {
    say(this.announcement, text);
    this.asking.askNow();
  }
}

function reasonSelect() {
  const options = Object.entries(REASONS).map(([reason, meaning]) =>
    h("option", { value: reason }, `${reason}: ${meaning}`),
  );
  return h("select", {}, h("option", { value: "" }, "all reasons"), options);
}

// The path of the list; an empty reason means all.
export function groupsPath(reason) {
  const path = `/v1/telemetry/rejected/groups?resolved=false&limit=${ASKED}`;
  return reason ? `${path}&reason=${reason}` : path;
}

const groupKey = ({ topic, deviceId, reason }) => JSON.stringify([topic, deviceId, reason]);

// Whether the rows of `listed` are others than those of the groups `shown`, or in another order.
export function hasMoved(listed, shown) {
  return listed.map(groupKey).join() !== shown.map(groupKey).join();
}

export function noteText(groups, more) {
  const all = groups.reduce((sum, group) => sum + group.count, 0);
  if (more) return `The ${count(groups.length)} groups with the newest ones are shown.`;
  return groups.length > 1 ? `${plural(all, "reading")} in ${groups.length} groups.` : "";
}

const nothingText = (reason) =>
  reason ? `Nothing is rejected as ${reason}.` : "No rejected reading waits for anyone.";

const deviceNode = ({ stream, deviceId }) =>
  deviceId === null ? "unknown" : deviceLink(stream, deviceId);

// How many there are, and since when; within a second it is a single time.
function countNode(group) {
  const [first, last] = [clock(group.firstAt), clock(group.lastAt)];
  const times = first === last ? last : `${first} – ${last}`;
  return h("div", {}, count(group.count), h("span", { class: "when" }, times));
}

// What the reason means of readings; of what chargers say of sessions each detail tells.
export const meaningOf = ({ stream, reason }) => (stream ? (REASONS[reason] ?? "") : "");

const reasonNode = (group, details) =>
  h(
    "div",
    {},
    h("strong", {}, group.reason),
    " ",
    h("span", { class: "detail" }, meaningOf(group)),
    details(group),
  );

// A reason's cell never changes, so that what is open in it stays open.
const columns = (details) => [
  { title: "Device", value: ({ deviceId }) => deviceId ?? "", render: deviceNode },
  {
    title: "Readings",
    className: "number",
    value: (group) => [group.count, group.firstAt, group.lastAt].join(),
    render: countNode,
  },
  {
    title: "Reason",
    className: "why",
    value: ({ replayable }) => replayable,
    render: (group) => reasonNode(group, details),
  },
];
