// What the page says of the alerts that are not resolved.

import assert from "node:assert/strict";
import { test } from "node:test";
import { alertWords, careText, cutText, inOrder, pathOf } from "../../api/static/raised_alerts.js";

const alert = (alertId, certain, state, openedAt) => ({ alertId, certain, state, openedAt });

test("what is certain and nobody looks after comes first, then the newest", () => {
  const alerts = [
    alert("unsure", false, "open", "2026-01-31T15:00:00Z"),
    alert("cared for", true, "acknowledged", "2026-01-31T14:00:00Z"),
    alert("old", true, "open", "2026-01-31T12:00:00Z"),
    alert("new", true, "open", "2026-01-31T13:00:00Z"),
  ];
  const order = inOrder(alerts).map(({ alertId }) => alertId);
  assert.deepEqual(order, ["new", "old", "cared for", "unsure"]);
});

test("an alert says why it is not certain, and who looks after it", () => {
  assert.equal(alertWords({ message: "Low" }), "Low");
  assert.equal(alertWords({ message: "Low", why: "gaps" }), "Low. Uncertain: gaps");
  const nobodys = { acknowledgedBy: null, acknowledgedAt: null, note: null };
  assert.equal(careText(nobodys), "Nobody looks after it yet.");
  const annas = { acknowledgedBy: "anna", acknowledgedAt: "2020-01-31T14:05:00Z", note: null };
  assert.equal(careText(annas), "Acknowledged by anna at 2020-01-31 14:05.");
  assert.equal(
    careText({ ...annas, note: "cable" }),
    "Acknowledged by anna at 2020-01-31 14:05: cable",
  );
});

test("one device's alerts are asked for by its id, whatever it holds", () => {
  assert.equal(pathOf("open", null), "/v1/alerts?state=open&limit=100");
  assert.equal(pathOf("open", "a&b c"), "/v1/alerts?state=open&limit=100&deviceId=a%26b+c");
});

test("a list that may have been cut says so", () => {
  assert.equal(cutText([[1], []]), "");
  assert.equal(cutText([Array(100), []]), "Only the newest 100 of each kind are listed.");
});
