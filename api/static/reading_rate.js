// How many readings come in each second, from how the API's counts grow between two answers.

const MEASURED_OVER_MS = 30_000;
const RATES_KEPT = 150;

// The sums over all topics: {at, read, rejected, lag}. `at` is in ms; `lag` is in records, and
// null while that of a topic is not known.
export function sumTopics({ timestamp, topics }) {
  const total = (pick) => topics.reduce((sum, topic) => sum + pick(topic), 0);
  const lagKnown = topics.every((topic) => topic.lag !== null);
  return {
    at: Date.parse(timestamp),
    read: total((topic) => topic.read),
    rejected: total((topic) => topic.rejected.total),
    lag: lagKnown ? total((topic) => topic.lag) : null,
  };
}

// How many readings were rejected for each reason over all topics, the most frequent first:
// [[reason, number], ...].
export function rejectedByReason({ topics }) {
  const numbers = new Map();
  for (const topic of topics) {
    for (const [reason, number] of Object.entries(topic.rejected.byReason)) {
      numbers.set(reason, (numbers.get(reason) ?? 0) + number);
    }
  }
  return [...numbers].sort((one, other) => other[1] - one[1]);
}

// The rate of readings, measured over the last half minute.
export class ReadingRate {
  constructor() {
    this.samples = [];
    this.rates = [];
  }

  // Takes in newer sums; returns readings a second, or null while there is only one sample. Counts
  // or times that go back belong to another database or clock: measuring begins again.
  add(sample) {
    const last = this.samples.at(-1);
    if (last && (sample.at <= last.at || sample.read < last.read)) this.samples = [];
    this.samples.push(sample);
    while (this.samples.length > 2 && sample.at - this.samples[0].at > MEASURED_OVER_MS) {
      this.samples.shift();
    }
    const [first] = this.samples;
    if (first === sample) return null;
    const rate = ((sample.read - first.read) * 1000) / (sample.at - first.at);
    this.rates = [...this.rates, rate].slice(-RATES_KEPT);
    return rate;
  }
}

// The points of a line through rates from 0 to their highest, as SVG writes them.
export function linePoints(rates, width, height) {
  const highest = Math.max(...rates, Number.EPSILON);
  const step = width / Math.max(1, rates.length - 1);
  const y = (rate) => (height - 2) * (1 - rate / highest) + 1;
  return rates.map((rate, n) => `${(n * step).toFixed(1)},${y(rate).toFixed(1)}`).join(" ");
}
