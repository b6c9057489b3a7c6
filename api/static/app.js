// The page: which view the address asks for, and what stands around it.

import { h, vehicleHash } from "./dom.js";
import { ask } from "./http.js";
import { watchConnection } from "./connection.js";
import { fleetView } from "./fleet.js";
import { vehicleView } from "./vehicle.js";

const TITLE = "Charging fleet";
const main = document.getElementById("main");
let view = null;

// #vehicle=VH-001&day=2026-01-31: names and values are percent-encoded.
function wanted() {
  const found = {};
  for (const part of location.hash.slice(1).split("&")) {
    const [name, ...value] = part.split("=");
    try {
      found[name] = decodeURIComponent(value.join("="));
    } catch {
      found[name] = value.join("=");
    }
  }
  return found;
}

function route(event) {
  const { vehicle, day } = wanted();
  view?.stop();
  view = vehicle ? vehicleView(vehicle, day) : fleetView();
  document.title = vehicle ? `${vehicle} · ${TITLE}` : TITLE;
  main.replaceChildren(...view.nodes);
  document.getElementById("wanted").value = vehicle ?? "";
  if (event) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function search() {
  const input = document.getElementById("wanted");
  const known = document.getElementById("known");
  document.getElementById("search").addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value) location.hash = vehicleHash(input.value);
  });
  input.addEventListener("focus", async () => {
    const { body } = await ask("/v1/devices/vehicles?limit=1000").catch(() => ({ body: [] }));
    known.replaceChildren(...body.map((one) => h("option", { value: one.vehicleId })));
  }, { once: true });
}

function scheme() {
  const select = document.getElementById("scheme");
  const apply = () => (document.documentElement.style.colorScheme = select.value);
  try {
    select.value = localStorage.getItem("scheme") ?? select.value;
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  select.addEventListener("change", () => {
    apply();
    try {
      localStorage.setItem("scheme", select.value);
    } catch {
      // As above.
    }
  });
  apply();
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", route);
scheme();
search();
watchConnection();
route();
