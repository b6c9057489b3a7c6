// What is kept open all day: the fleet now, its efficiency, who charges, and what was refused.

import { h } from "./dom.js";
import { flaggedPanel } from "./flagged.js";
import { nowPanel, silentPanel } from "./now.js";
import { RejectedPanel } from "./rejected.js";
import { sessionsPanel } from "./sessions.js";

export function fleetView() {
  const now = nowPanel();
  const panels = [now, flaggedPanel(), sessionsPanel(), silentPanel(now.silentTile), new RejectedPanel()];
  const asking = panels.map((panel) => panel.asking.start());
  const [top, flagged, charging, silent, rejected] = panels.map((panel) => panel.node);
  const columns = h("div", { class: "columns" }, h("div", {}, flagged, charging), h("div", {}, rejected, silent));
  return {
    nodes: [h("h1", { class: "unseen" }, "Charging fleet"), top, columns],
    stop: () => asking.forEach((poll) => poll.stop()),
  };
}
