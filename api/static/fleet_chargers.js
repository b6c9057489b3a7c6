// What the fleet's view says of chargers: whether any loses energy over 7 days, the worst one by name.

import { chargersAddress } from "./address.js";
import { verdictText } from "./chargers_view.js";
import { chargerLink, h, say } from "./dom.js";
import { isLow } from "./efficiency.js";
import { percent } from "./format.js";
import { ask } from "./http.js";
import { askLimits } from "./limits.js";
import { Panel } from "./panel.js";
import { serverNow } from "./server_clock.js";
import { windowOf, windowQuery } from "./time_window.js";

const EVERY_MS = 300_000;
const CHOSEN = { last: "7d" };

export function fleetChargersPanel() {
  const panel = new Panel("Chargers over 7 days", { loading: "Comparing the chargers …" });
  const verdict = h("p", { class: "verdict" });
  const worst = h("p", {});
  const all = h(
    "p",
    {},
    h("a", { href: chargersAddress(CHOSEN) }, "All chargers, the worst first"),
  );
  panel.body.append(verdict, worst, all);
  panel.poll(EVERY_MS, askWorst, ({ limits, chargers }) => {
    const [text, judged] = verdictText(chargers, limits);
    say(verdict, text);
    verdict.className = `verdict ${judged}`;
    worst.replaceChildren(...worstParts(chargers, (id) => chargerLink(id, CHOSEN)));
    worst.hidden = worst.childNodes.length === 0;
  });
  return panel;
}

async function askWorst(signal) {
  const path = `/v1/analytics/meters?${windowQuery(windowOf(CHOSEN, serverNow()))}&limit=1`;
  const [limits, { body }] = await Promise.all([askLimits(signal), ask(path, { signal })]);
  return { limits, chargers: body };
}

// The worst charger as texts and nodes, when it is low; `link` makes the node of its id.
export function worstParts({ meters: [worst] }, link) {
  if (!(worst && isLow(worst))) return [];
  return ["The worst is ", link(worst.meterId), ` with ${percent(worst.metrics.efficiencyRatio)}.`];
}
