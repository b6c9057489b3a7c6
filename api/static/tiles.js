// Figures in a row: a name, a number, and a line that says what to make of it.

import { h, say } from "./dom.js";

const MARKS = { good: "✓", warn: "▲", bad: "✕" };

export class Tile {
  constructor(name, waiting = "…") {
    this.value = h("strong", {}, waiting);
    this.mark = h("span", { class: "mark", "aria-hidden": "true" });
    this.note = h("span", { class: "note" });
    this.extra = h("span", { class: "extra" });
    this.node = h(
      "div",
      { class: "tile" },
      h("dt", {}, name),
      h("dd", {}, this.value, h("span", { class: "line" }, this.mark, this.note), this.extra),
    );
  }

  // `judged` is good, warn, bad or nothing; `note` says the same in words, `more` what
  // else there is to know.
  show(value, note = "", judged = "", more = null) {
    const [number, unit] = value.split(/ (?=kWh$|MWh$|°C$|%$)/);
    if (this.value.textContent !== value)
      this.value.replaceChildren(number, ...(unit ? [" ", h("span", { class: "unit" }, unit)] : []));
    say(this.note, note);
    say(this.mark, MARKS[judged] ?? "");
    if (more !== null) say(this.extra, more);
    this.node.className = `tile ${judged}`;
  }
}

export const tiles = (...all) => h("dl", { class: "tiles" }, all.map((tile) => tile.node));
