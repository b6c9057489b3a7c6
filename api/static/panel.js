// A part of the page with a heading, which says when it is loading, empty, failing or stale.

import { h, say } from "./dom.js";
import { clock, duration } from "./format.js";
import { Poll } from "./polling.js";

let panelsMade = 0;

export class Panel {
  // `loading` says what is awaited; `aside` is a node that stands beside the heading.
  constructor(title, { loading, className = "", aside = null }) {
    panelsMade += 1;
    const id = `panel-${panelsMade}`;
    this.state = h("p", { class: "state" }, loading);
    this.body = h("div", { class: "body", hidden: true });
    this.node = h(
      "section",
      { class: `panel ${className}`, "aria-labelledby": id, "aria-busy": "true" },
      h("div", { class: "head" }, h("h2", { id }, title), aside),
      this.state,
      this.body,
    );
  }

  // Sets the panel's poll, which whoever shows the panel starts. `show` puts its answers into the
  // body; its failures are said here, and `fail` is told of them.
  poll(everyMs, ask, show, fail = () => {}) {
    this.asking = new Poll({
      everyMs,
      ask,
      show: (answer) => {
        this.#ready();
        show(answer);
      },
      fail: (error) => {
        this.#failed(error);
        fail();
      },
    });
  }

  #ready() {
    this.node.removeAttribute("aria-busy");
    this.node.classList.remove("stale", "broken");
    this.body.hidden = false;
    say(this.state, "");
  }

  #failed(error) {
    const { shownAt } = this.asking;
    this.node.removeAttribute("aria-busy");
    this.node.classList.add(shownAt ? "stale" : "broken");
    const since = shownAt
      ? `Not updated since ${clock(shownAt)}, ${duration(Date.now() - shownAt)} ago`
      : "Nothing to show yet";
    say(this.state, `${since}: ${error.message}. It is being tried again.`);
  }

  // Shows a text in place of the body: that there is nothing, and why.
  empty(text) {
    this.body.hidden = true;
    say(this.state, text);
  }
}
