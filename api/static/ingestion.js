// How readings come in: how many a second, how far the workers are behind Kafka, and how many were
// rejected. The number of silent devices stands beside them; its panel shows it.

import { svg } from "./dom.js";
import { FigureTile, tileRow } from "./figure_tiles.js";
import { count, rate } from "./format.js";
import { ask } from "./http.js";
import { Panel } from "./panel.js";
import { linePoints, ReadingRate, rejectedByReason, sumTopics } from "./reading_rate.js";
import { SILENCE_MINUTES } from "./silent_devices.js";

const EVERY_MS = 4000;
const NOTABLE_LAG_S = 10;
const RATES_WIDTH = 160;
const RATES_HEIGHT = 28;

export function ingestionPanel() {
  const panel = new Panel("The fleet now", {
    loading: "Asking for the statistics …",
    className: "wide",
  });
  const readingRate = new ReadingRate();
  const readings = new FigureTile("Readings a second", "measuring …");
  const lag = new FigureTile("Waiting in Kafka");
  const rejected = new FigureTile("Rejected, not resolved");
  panel.silentTile = new FigureTile(`Silent for ${SILENCE_MINUTES} minutes`);
  panel.body.append(tileRow(readings, lag, rejected, panel.silentTile));

  panel.poll(
    EVERY_MS,
    (signal) => ask("/v1/telemetry/stats", { signal }),
    ({ body: stats }) => {
      const sums = sumTopics(stats);
      const perSecond = readingRate.add(sums);
      readings.show(...rateShown(perSecond, sums));
      if (perSecond !== null) readings.extra.replaceChildren(rateLine(readingRate.rates));
      lag.show(...lagShown(sums, perSecond));
      rejected.show(...rejectedShown(sums, stats));
    },
  );
  return panel;
}

// What the tiles show: [value, note, judged].
export function rateShown(perSecond, { read, lag }) {
  const readSoFar = `${count(read)} read so far`;
  if (perSecond === null) return ["measuring …", readSoFar, ""];
  if (perSecond > 0) return [rate(perSecond), readSoFar, ""];
  if (lag) return ["0", "readings wait, no worker takes them", "bad"];
  return ["0", `nothing comes in; ${readSoFar}`, "warn"];
}

export function lagShown({ lag, read }, perSecond) {
  if (lag === null) return ["unknown", "Kafka does not answer", "bad"];
  if (lag === 0 && read === 0) return ["0", "records: none came in yet", ""];
  if (lag === 0) return ["0", "records: the workers keep up", "good"];
  const behindS = perSecond ? lag / perSecond : 0;
  if (behindS > NOTABLE_LAG_S) return [count(lag), "records: the workers are behind", "warn"];
  return [count(lag), "records on their way", ""];
}

export function rejectedShown({ rejected: total, read }, stats) {
  if (total === 0 && read === 0) return ["0", "nothing was read yet", ""];
  if (total === 0) return ["0", "nothing was rejected", "good"];
  const reasons = rejectedByReason(stats).map(
    ([reason, number]) => `${reason.replace("_", " ")} ${count(number)}`,
  );
  return [count(total), reasons.join(", "), ""];
}

// The rates so far as a line. It is only for the eye: the number stands beside it.
function rateLine(rates) {
  return svg(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${RATES_WIDTH} ${RATES_HEIGHT}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    svg("polyline", { points: linePoints(rates, RATES_WIDTH, RATES_HEIGHT) }),
  );
}
