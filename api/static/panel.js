// A part of the page with a heading, which says when it is loading, empty, failing or stale.

import { clock, lasting } from "./format.js";
import { h, say } from "./dom.js";
import { Poll } from "./poll.js";

let number = 0;

export class Panel {
  // `loading` says what is awaited; `level` is the heading's.
  constructor(title, { loading = "Loading …", className = "", level = 2, aside = null } = {}) {
    const id = `panel-${++number}`;
    this.title = h(`h${level}`, { id }, title);
    this.state = h("p", { class: "state" }, loading);
    this.body = h("div", { class: "body", hidden: true });
    this.node = h(
      "section",
      { class: `panel ${className}`, "aria-labelledby": id, "aria-busy": "true" },
      h("div", { class: "head" }, this.title, aside),
      this.state,
      this.body,
    );
  }

  // A poll whose answers `show` puts into the body; its failures are said here, and told to `fail`.
  poll(everyMs, ask, show, fail = () => {}) {
    this.asking = new Poll({
      everyMs,
      ask,
      show: (answer) => {
        this.ready();
        show(answer);
      },
      fail: (trouble) => (this.failed(trouble), fail()),
    });
    return this.asking;
  }

  ready() {
    this.node.removeAttribute("aria-busy");
    this.node.classList.remove("stale", "broken");
    this.body.hidden = false;
    say(this.state, "");
  }

  failed(trouble) {
    const { shownAt } = this.asking;
    this.node.removeAttribute("aria-busy");
    this.node.classList.add(shownAt ? "stale" : "broken");
    const since = shownAt ? `Not updated since ${clock(shownAt)}, ${lasting(Date.now() - shownAt)} ago` : "Nothing to show yet";
    say(this.state, `${since}: ${trouble.message}. It is being tried again.`);
  }

  // Instead of the body: there is nothing, and why.
  empty(text) {
    this.body.hidden = true;
    say(this.state, text);
  }
}
