// Readings a second, from how the books grow between two looks at them.

import { svg } from "./dom.js";

const OVER_MS = 30_000;
const KEPT = 150;

// The books' sums over both topics: {at, read, rejected, lag}; lag is null while one is not known.
export function sums(stats) {
  const total = (pick) => stats.topics.reduce((sum, topic) => sum + pick(topic), 0);
  const lags = stats.topics.map((topic) => topic.lag);
  return {
    at: Date.parse(stats.timestamp),
    read: total((topic) => topic.read),
    rejected: total((topic) => topic.rejected.total),
    lag: lags.includes(null) ? null : lags.reduce((sum, lag) => sum + lag, 0),
  };
}

export class Pace {
  constructor() {
    this.samples = [];
    this.rates = [];
  }

  // Take in newer sums; the rate over the last half minute, or null while there is but one look.
  add(sample) {
    const last = this.samples.at(-1);
    if (last && (sample.at <= last.at || sample.read < last.read)) this.samples = [];
    this.samples.push(sample);
    while (this.samples.length > 2 && sample.at - this.samples[0].at > OVER_MS) this.samples.shift();
    const first = this.samples[0];
    if (first === sample) return null;
    const rate = ((sample.read - first.read) * 1000) / (sample.at - first.at);
    this.rates = [...this.rates, rate].slice(-KEPT);
    return rate;
  }

  // The rates so far as a line, for the eye alone: the number stands beside it.
  line(width = 160, height = 28) {
    const top = Math.max(...this.rates, 1e-9);
    const step = width / Math.max(1, this.rates.length - 1);
    const points = this.rates.map((rate, n) => `${(n * step).toFixed(1)},${((height - 2) * (1 - rate / top) + 1).toFixed(1)}`);
    return svg(
      "svg",
      { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("polyline", { points: points.join(" ") }),
    );
  }
}
