// Asking again and again: at a steady pace while it works, ever more rarely while it does not, and
// not at all while nobody can see the page.

const SLOWEST_MS = 60_000;
const JITTER = 0.2;
const polls = new Set();
const listeners = new Set();

export class Poll {
  // `ask(signal)` returns what `show` takes; `fail` gets the Trouble.
  constructor({ everyMs, ask, show, fail }) {
    Object.assign(this, { everyMs, ask, show, fail });
    this.failures = 0;
    this.shownAt = null;
    this.nextAt = null;
    this.trouble = null;
  }

  start() {
    polls.add(this);
    this.now();
    return this;
  }

  stop() {
    polls.delete(this);
    this.#cancel();
    announce();
  }

  now() {
    this.#cancel();
    if (polls.has(this)) this.#turn();
  }

  #cancel() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.nextAt = null;
  }

  async #turn() {
    if (document.hidden && this.shownAt) return; // visibilitychange begins again
    const { signal } = (this.abort = new AbortController());
    let waitMs = this.everyMs;
    try {
      const answer = await this.ask(signal);
      if (signal.aborted) return;
      this.failures = 0;
      this.trouble = null;
      this.shownAt = Date.now();
      this.show(answer);
    } catch (error) {
      if (signal.aborted) return;
      this.failures += 1;
      this.trouble = error;
      waitMs = Math.min(SLOWEST_MS, this.everyMs * 2 ** (this.failures - 1));
      waitMs = Math.max(waitMs * (1 + JITTER * Math.random()), error.retryAfterMs ?? 0);
      this.fail(error);
    }
    this.nextAt = Date.now() + waitMs;
    this.timer = setTimeout(() => this.#turn(), waitMs);
    announce();
  }
}

const announce = () => listeners.forEach((listener) => listener());

// Call `listener` whenever how things stand may have changed.
export const onChange = (listener) => listeners.add(listener);

// How all that is asked for stands: what fails, since when, and when it is tried again.
export function standing() {
  const all = [...polls];
  const failing = all.filter((poll) => poll.trouble);
  const known = all.map((poll) => poll.shownAt).filter(Boolean);
  return {
    failing: failing.length,
    all: all.length,
    trouble: failing[0]?.trouble ?? null,
    shownAt: known.length ? Math.max(...known) : null,
    nextAt: failing.length ? Math.min(...failing.map((poll) => poll.nextAt ?? Infinity)) : null,
  };
}

export const tryAllNow = () => polls.forEach((poll) => poll.now());
const tryFailing = () => polls.forEach((poll) => poll.trouble && poll.now());

document.addEventListener("visibilitychange", () => document.hidden || tryAllNow());
window.addEventListener("online", tryFailing);
