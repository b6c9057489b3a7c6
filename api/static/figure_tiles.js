// Tiles: a figure each, with its name and a line that says what to make of it.

import { h, say } from "./dom.js";

const MARKS = { good: "✓", warn: "▲", bad: "✕" };
const BEFORE_UNIT = / (?=kWh$|MWh$|°C$|%$)/;

export class FigureTile {
  constructor(name, waiting = "…") {
    this.name = h("dt", {}, name);
    this.value = h("strong", {}, waiting);
    this.mark = h("span", { class: "mark", "aria-hidden": "true" });
    this.note = h("span", { class: "note" });
    this.extra = h("span", { class: "extra" });
    const line = h("span", { class: "line" }, this.mark, this.note);
    this.node = h("div", { class: "tile" }, this.name, h("dd", {}, this.value, line, this.extra));
  }

  rename(name) {
    say(this.name, name);
  }

  // `judged` is good, warn, bad or empty; `note` says the same in words, and `more`, where it is
  // given, what else there is to know.
  show(value, note = "", judged = "", more = null) {
    if (this.value.textContent !== value) this.#showValue(value);
    say(this.note, note);
    say(this.mark, MARKS[judged] ?? "");
    if (more !== null) say(this.extra, more);
    this.node.className = `tile ${judged}`;
  }

  #showValue(value) {
    const [number, unit] = value.split(BEFORE_UNIT);
    const small = unit ? [" ", h("span", { class: "unit" }, unit)] : [];
    this.value.replaceChildren(number, ...small);
  }
}

// A row of tiles.
export const tileRow = (...tiles) =>
  h(
    "dl",
    { class: "tiles" },
    tiles.map((tile) => tile.node),
  );
