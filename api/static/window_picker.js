// The choice of a view's window: links to the last hours and days, a day to step from, and a form for
// any other stretch. Each leads to an address, so that a window can be kept and passed on.

import { h } from "./dom.js";
import { serverNow } from "./server_clock.js";
import { isoDay, isoMinute, rangeProblem, shiftedDay, windowOf } from "./time_window.js";

// `chosen` is the view's choice, `addressOf(choice)` the address of the same view in another window.
export function windowPicker(chosen, addressOf) {
  const today = isoDay(serverNow());
  const { day = null } = chosen;
  const link = (text, choice) => {
    const isChosen = JSON.stringify(choice) === JSON.stringify(chosen);
    const current = isChosen ? "true" : null;
    return h("a", { class: "button", href: addressOf(choice), "aria-current": current }, text);
  };
  const input = h("input", { type: "date", id: "day", value: day, max: today });
  input.addEventListener("change", () => {
    location.hash = addressOf(input.value ? { day: input.value } : {});
  });
  return h(
    "nav",
    { class: "days", "aria-label": "Which time" },
    link("Last 24 hours", {}),
    link("7 days", { last: "7d" }),
    link("31 days", { last: "31d" }),
    link("‹ Day before", { day: shiftedDay(day ?? today, -1) }),
    h("label", { for: "day" }, "Day"),
    input,
    day && day < today ? link("Day after ›", { day: shiftedDay(day, 1) }) : null,
    rangeForm(chosen, addressOf),
  );
}

function rangeForm(chosen, addressOf) {
  const { start, end } = windowOf(chosen, serverNow());
  const time = (value) => h("input", { type: "datetime-local", required: true, value });
  const from = time(chosen.from ?? isoMinute(start));
  const to = time(chosen.to ?? isoMinute(end));
  const problem = h("p", { class: "result bad", role: "alert" });
  const form = h(
    "form",
    { class: "range", onsubmit: show },
    h("label", {}, "From ", from),
    h("label", {}, "To ", to),
    h("button", { type: "submit" }, "Show"),
    problem,
  );
  function show(event) {
    event.preventDefault();
    const choice = { from: from.value.slice(0, 16), to: to.value.slice(0, 16) };
    problem.textContent = rangeProblem(choice.from, choice.to);
    if (problem.textContent === "") location.hash = addressOf(choice);
  }
  return h("details", { open: Boolean(chosen.from) }, h("summary", {}, "Another time"), form);
}
