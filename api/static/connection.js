// Whether the page shows what the API answers now. A screen reader is told when that changes.

import { say } from "./dom.js";
import { clock, duration } from "./format.js";
import { onChange, pollsState, tryAllNow } from "./polling.js";

const STALE_AFTER_MS = 120_000;
const REFRESH_MS = 1000;

export function watchConnection() {
  const box = document.getElementById("connection");
  const state = document.getElementById("connection-state");
  const note = document.getElementById("connection-note");
  const button = document.getElementById("try-now");
  const update = () => {
    const polls = pollsState();
    const name = connectionName(polls, Date.now());
    box.className = `connection ${name}`;
    button.hidden = name !== "stale";
    if (name === "") {
      say(state, polls.all ? "Connecting …" : "");
      say(note, "");
    } else if (name === "live") {
      say(state, "Live");
      say(note, `updated ${clock(polls.shownAt)}`);
    } else {
      say(state, staleText(polls));
      say(note, retryText(polls, Date.now()));
    }
  };
  button.addEventListener("click", tryAllNow);
  onChange(update);
  setInterval(update, REFRESH_MS);
}

// "live" or "stale"; "" while nothing is asked or the first answers are awaited. `now` is in ms, as in the others.
export function connectionName({ failing, shownAt }, now) {
  const old = shownAt !== null && now - shownAt > STALE_AFTER_MS;
  if (failing || old) return "stale";
  return shownAt === null ? "" : "live";
}

export function staleText({ failing, all, error }) {
  return failing && failing === all ? `Not live: ${error.message}` : "Not all of it is live";
}

export function retryText({ shownAt, nextAt }, now) {
  const answered = shownAt === null ? "no answer yet" : `last answer ${clock(shownAt)}`;
  const waits = nextAt !== null && nextAt !== Infinity;
  return `${answered}, next try ${waits ? `in ${duration(nextAt - now)}` : "now"}`;
}
