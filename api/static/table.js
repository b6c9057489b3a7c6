// Tables that change in place: rows by key, and a cell only when what it shows has changed, so that
// focus stays where it is. Roles are said outright: on a phone the rows are laid out as cards.

import { arrange, h, say } from "./dom.js";

export class Table {
  // Columns: {title, value(item) -> text, render(item) -> node?, className?, hideTitle?}. `value`
  // is also what a change is seen by. More than `first` rows are shown when asked for.
  constructor(caption, columns, { key, first = Infinity, rowClass = () => "" }) {
    Object.assign(this, { columns, key, first, rowClass });
    this.rows = new Map();
    this.items = [];
    this.body = h("tbody", { role: "rowgroup" });
    const heads = columns.map(({ title, className, hideTitle }) =>
      h("th", { scope: "col", role: "columnheader", class: className }, hideTitle ? h("span", { class: "unseen" }, title) : title),
    );
    const head = h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads));
    this.table = h("table", { role: "table" }, h("caption", { class: "unseen" }, caption), head, this.body);
    this.toggle = h("button", { type: "button", class: "more", "aria-expanded": "false", onclick: () => this.#open() });
    this.node = h("div", { class: "table" }, this.table, this.toggle);
    this.all = false;
  }

  show(items) {
    this.items = items;
    const shown = this.all ? items : items.slice(0, this.first);
    const wanted = new Set(items.map(this.key));
    for (const key of this.rows.keys()) if (!wanted.has(key)) this.rows.delete(key);
    arrange(this.body, shown.map((item) => this.#row(item)));
    this.toggle.hidden = items.length <= this.first;
    this.toggle.setAttribute("aria-expanded", String(this.all));
    say(this.toggle, this.all ? "Show fewer" : `Show all ${items.length}`);
  }

  #open() {
    this.all = !this.all;
    this.show(this.items);
  }

  #row(item) {
    const key = this.key(item);
    if (!this.rows.has(key)) {
      const cells = this.columns.map(({ title, className }, place) => {
        const properties = { class: className, "data-title": title };
        return place === 0
          ? h("th", { scope: "row", role: "rowheader", ...properties })
          : h("td", { role: "cell", ...properties });
      });
      this.rows.set(key, { node: h("tr", { role: "row" }, cells), cells, values: [] });
    }
    const row = this.rows.get(key);
    this.columns.forEach((column, place) => {
      const value = column.value(item);
      if (row.values[place] === value) return;
      row.values[place] = value;
      row.cells[place].replaceChildren(column.render ? column.render(item) : value);
    });
    row.node.className = this.rowClass(item);
    return row.node;
  }
}
