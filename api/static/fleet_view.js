// The fleet's view, kept open all day: how readings come in, the fleet's efficiency now and day by
// day, whether a charger is low, who charges, which alerts are open, which readings were rejected, and
// which devices are silent.

import { activeSessionsPanel } from "./active_sessions.js";
import { h } from "./dom.js";
import { fleetChargersPanel } from "./fleet_chargers.js";
import { fleetDaysPanel } from "./fleet_days.js";
import { fleetEfficiencyPanel } from "./fleet_efficiency.js";
import { ingestionPanel } from "./ingestion.js";
import { raisedAlertsPanel } from "./raised_alerts.js";
import { RejectedReadingsPanel } from "./rejected_readings.js";
import { silentDevicesPanel } from "./silent_devices.js";

// {nodes, stop}: the elements of the view, and a function that ends its polls. Only a reader who
// `mayOperate` can acknowledge an alert, replay a reading or retire a device.
export function fleetView(mayOperate) {
  const ingestion = ingestionPanel();
  const efficiency = fleetEfficiencyPanel();
  const chargers = fleetChargersPanel();
  const days = fleetDaysPanel();
  const sessions = activeSessionsPanel();
  const silent = silentDevicesPanel(ingestion.silentTile, mayOperate);
  const rejected = new RejectedReadingsPanel(mayOperate);
  const alerts = raisedAlertsPanel(mayOperate);
  const panels = [ingestion, alerts, efficiency, chargers, days, sessions, silent, rejected];
  const polls = panels.map((panel) => panel.asking.start());
  const left = h("div", {}, efficiency.node, chargers.node, days.node, sessions.node);
  const right = h("div", {}, alerts.node, rejected.node, silent.node);
  const columns = h("div", { class: "columns" }, left, right);
  return {
    nodes: [h("h1", { class: "unseen" }, "Charging fleet"), ingestion.node, columns],
    stop: () => {
      days.stop();
      for (const poll of polls) poll.stop();
    },
  };
}
