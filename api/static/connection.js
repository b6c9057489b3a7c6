// Whether what is on the page is what the API says now; told to a screen reader when it changes.

import { say } from "./dom.js";
import { clock, lasting } from "./format.js";
import { onChange, standing, tryAllNow } from "./poll.js";

const SILENT_TOO_LONG_MS = 120_000;

export function watchConnection() {
  const [box, state, note, button] = ["connection", "connection-state", "connection-note", "try-now"].map((id) => document.getElementById(id));
  const update = () => {
    const { failing, all, trouble, shownAt, nextAt } = standing();
    const old = shownAt !== null && Date.now() - shownAt > SILENT_TOO_LONG_MS;
    const name = failing || old ? "stale" : shownAt ? "live" : "";
    box.className = `connection ${name}`;
    button.hidden = name !== "stale";
    if (name === "live") {
      say(state, "Live");
      say(note, `updated ${clock(shownAt)}`);
    } else if (name === "stale") {
      say(state, failing === all && failing ? `Not live: ${trouble.message}` : "Not all of it is live");
      const wait = nextAt === null || nextAt === Infinity ? "now" : `in ${lasting(nextAt - Date.now())}`;
      say(note, `${shownAt ? `last answer ${clock(shownAt)}` : "no answer yet"}, next try ${wait}`);
    }
  };
  button.addEventListener("click", tryAllNow);
  onChange(update);
  setInterval(update, 1000);
}
