// What the views of a vehicle and of a charger share: questions about one device, what its figures
// rest on, and where its readings are.

import { basisSentences } from "./coverage.js";
import { h } from "./dom.js";
import { ask, pathSegment } from "./http.js";
import { serverNow } from "./server_clock.js";
import { HOUR_MS, slotOf, windowOf, windowQuery } from "./time_window.js";

const EVERY_MS = 20_000;
const LONG_EVERY_MS = 60_000; // A long window takes the API longer, and changes less.

// How often the figures of a chosen window are asked for.
export const figuresEveryMs = (chosen) =>
  slotOf(windowOf(chosen, serverNow())) === HOUR_MS ? EVERY_MS : LONG_EVERY_MS;

// The answer's body, or null when the API does not know the device. Throws ApiError.
export async function askKnown(path, signal) {
  try {
    return (await ask(path, { signal })).body;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

// Where a device's readings are, in a form in which no spreadsheet runs its id as a formula.
// `kind` is vehicles or meters.
export function csvPath(kind, id, window) {
  const query = `${windowQuery(window)}&format=csv&safe=true`;
  return `/v1/telemetry/${kind}/${pathSegment(id)}/history?${query}`;
}

// A link to a device's readings, and what sets the window they lie in: {node, show}.
export function csvLink(kind, id) {
  const node = h("a", { class: "button more" }, "Its readings, as CSV");
  const show = (window) => {
    node.href = csvPath(kind, id, window);
  };
  return { node, show };
}

export const qualityText = ({ quality }) =>
  quality === "none" ? "rests on nothing: a side has no reading" : `rests on ${quality} readings`;

// What the figures rest on: a list that changes only when its sentences do.
export function basisList() {
  const list = h("ul", { class: "basis note", "aria-label": "What the figures rest on" });
  let shown = null;
  const show = (coverage) => {
    const sentences = basisSentences(coverage);
    list.hidden = sentences.length === 0;
    if (shown === sentences.join()) return;
    shown = sentences.join();
    list.replaceChildren(...sentences.map((sentence) => h("li", {}, sentence)));
  };
  return { node: list, show };
}
