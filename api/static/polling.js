// Polls: questions asked again and again. They keep a steady pace while they are answered, slow
// down while they fail, and rest while nobody can see the page.

const SLOWEST_MS = 60_000;
const JITTER = 0.2;
const polls = new Set();
const listeners = new Set();

export class Poll {
  // `ask(signal)` returns what `show` takes; `fail` takes the error, an ApiError as a rule.
  constructor({ everyMs, ask, show, fail }) {
    Object.assign(this, { everyMs, ask, show, fail });
    this.failures = 0;
    this.shownAt = null;
    this.nextAt = null;
    this.error = null;
  }

  start() {
    polls.add(this);
    this.askNow();
    return this;
  }

  stop() {
    polls.delete(this);
    this.#cancel();
    announce();
  }

  askNow() {
    this.#cancel();
    if (polls.has(this)) this.#turn();
  }

  #cancel() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.nextAt = null;
  }

  async #turn() {
    if (document.hidden && this.shownAt) return; // The event visibilitychange begins again.
    this.abort = new AbortController();
    const { signal } = this.abort;
    let waitMs = this.everyMs;
    try {
      const answer = await this.ask(signal);
      if (signal.aborted) return;
      this.#succeed(answer);
      if (signal.aborted) return; // The answer ended the poll.
    } catch (error) {
      if (signal.aborted) return;
      this.failures += 1;
      this.error = error;
      waitMs = retryDelayMs(this.everyMs, this.failures, error.retryAfterMs);
      this.fail(error);
    }
    this.nextAt = Date.now() + waitMs;
    this.timer = setTimeout(() => this.#turn(), waitMs);
    announce();
  }

  #succeed(answer) {
    const back = this.failures > 0;
    this.failures = 0;
    this.error = null;
    this.shownAt = Date.now();
    this.show(answer);
    if (back) tryFailing(); // What kept this one from its answer may have kept the others.
  }
}

// How long to wait after so many failures, in ms: doubled by each, with a random share so that
// browsers do not ask all at once, and not before the API wants it. `random` lies in [0, 1).
export function retryDelayMs(everyMs, failures, retryAfterMs = 0, random = Math.random()) {
  const delayMs = Math.min(SLOWEST_MS, everyMs * 2 ** (failures - 1));
  return Math.max(delayMs * (1 + JITTER * random), retryAfterMs);
}

function announce() {
  for (const listener of listeners) listener();
}

// Calls `listener` whenever the state of the polls may have changed.
export const onChange = (listener) => listeners.add(listener);

// The state of all polls: how many there are and how many fail, one's error, when the last answer
// was shown, and when the next of those that fail asks again. Times are in ms, null when unknown.
export function pollsState(all = [...polls]) {
  const failing = all.filter((poll) => poll.error);
  const shownAt = all.map((poll) => poll.shownAt).filter((time) => time !== null);
  return {
    failing: failing.length,
    all: all.length,
    error: failing[0]?.error ?? null,
    shownAt: shownAt.length ? Math.max(...shownAt) : null,
    nextAt: failing.length ? Math.min(...failing.map((poll) => poll.nextAt ?? Infinity)) : null,
  };
}

export function tryAllNow() {
  for (const poll of polls) poll.askNow();
}

function tryFailing() {
  for (const poll of polls) {
    if (poll.error) poll.askNow();
  }
}

// Asks again as soon as the page is seen or the browser is online.
export function watchBrowser() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) tryAllNow();
  });
  window.addEventListener("online", tryFailing);
}
