// The limits by which the API judges, asked for once: {lowEfficiency, impossibleEfficiency, ...}.
// Panels that judge ask for them with their figures. Where that fails, the panel's next poll asks
// again, and nothing is judged before.

import { ask } from "./http.js";

let announce;
let known = null;

// Fulfilled with the limits as soon as they are known.
export const limitsKnown = new Promise((resolve) => {
  announce = resolve;
});

// The limits. Throws ApiError.
export async function askLimits(signal) {
  if (known === null) {
    const { body } = await ask("/v1/analytics/limits", { signal });
    known = body;
    announce(known);
  }
  return known;
}
