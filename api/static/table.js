// Tables that change in place: rows by key, and a cell only when its value has changed, so that
// focus stays where it is. Roles are stated, because on a phone the rows are laid out as cards.

import { arrange, h, say } from "./dom.js";
import { count } from "./format.js";

export class Table {
  // Columns are {title, value(item), render(item)?, className?}: a cell holds the node that
  // `render` makes, or else the text `value`, and changes when `value` does. Only `first` rows are
  // shown until the reader asks for all.
  constructor(caption, columns, { key, first = Infinity, rowClass = () => "" }) {
    Object.assign(this, { columns, key, first, rowClass });
    this.rows = new Map();
    this.items = [];
    this.all = false;
    this.body = h("tbody", { role: "rowgroup" });
    const titles = columns.map(({ title, className }) =>
      h("th", { scope: "col", role: "columnheader", class: className }, title),
    );
    const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, titles));
    const name = h("caption", { class: "unseen" }, caption);
    this.toggle = h("button", { type: "button", class: "more", "aria-expanded": "false" });
    this.toggle.addEventListener("click", () => this.#toggleAll());
    const table = h("table", { role: "table" }, name, head, this.body);
    this.node = h("div", { class: "table" }, table, this.toggle);
    this.show([]);
  }

  // `all` is how many there are, when that is more than the `items`; null when nobody knows.
  show(items, all = items.length) {
    this.items = items;
    this.count = all;
    const shown = this.all ? items : items.slice(0, this.first);
    const wanted = new Set(items.map(this.key));
    for (const key of this.rows.keys()) {
      if (!wanted.has(key)) this.rows.delete(key);
    }
    arrange(
      this.body,
      shown.map((item) => this.#row(item)),
    );
    this.toggle.hidden = items.length <= this.first;
    this.toggle.setAttribute("aria-expanded", String(this.all));
    say(this.toggle, this.all ? "Show fewer" : showMore(items.length, all));
  }

  #toggleAll() {
    this.all = !this.all;
    this.show(this.items, this.count);
  }

  #row(item) {
    const key = this.key(item);
    if (!this.rows.has(key)) this.rows.set(key, this.#emptyRow());
    const row = this.rows.get(key);
    this.columns.forEach(({ value, render }, place) => {
      const current = value(item);
      if (row.values[place] === current) return;
      row.values[place] = current;
      row.cells[place].replaceChildren(render ? render(item) : current);
    });
    row.node.className = this.rowClass(item);
    return row.node;
  }

  #emptyRow() {
    const cells = this.columns.map(({ title, className }, place) => {
      const properties = { class: className, "data-title": title };
      return place === 0
        ? h("th", { scope: "row", role: "rowheader", ...properties })
        : h("td", { role: "cell", ...properties });
    });
    return { node: h("tr", { role: "row" }, cells), cells, values: [] };
  }
}

// What the button says that shows all `listed` rows. A list that was cut is not all there is.
export function showMore(listed, all) {
  if (all === null) return `Show the ${count(listed)} listed`;
  return listed < all ? `Show ${count(listed)} of ${count(all)}` : `Show all ${count(listed)}`;
}
