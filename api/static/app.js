// The page: shows the view its address asks for, and keeps what stands around it.

import { parseAddress, vehicleAddress } from "./address.js";
import { watchConnection } from "./connection.js";
import { h } from "./dom.js";
import { fleetView } from "./fleet_view.js";
import { limitPercent } from "./format.js";
import { ask } from "./http.js";
import { limitsKnown } from "./limits.js";
import { watchBrowser } from "./polling.js";
import { vehicleView } from "./vehicle_view.js";

const TITLE = "Charging fleet";
const SUGGESTED_VEHICLES = 1000;
const main = document.getElementById("main");
let view = null;

function showView(event) {
  const { vehicle, day } = parseAddress(location.hash);
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

function listenToSearch() {
  const input = document.getElementById("wanted");
  document.getElementById("search").addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value) location.hash = vehicleAddress(input.value);
  });
  input.addEventListener("focus", suggestVehicles, { once: true });
}

// Suggestions are a convenience: without an answer there are none, and any id can be typed.
async function suggestVehicles() {
  const path = `/v1/devices/vehicles?limit=${SUGGESTED_VEHICLES}`;
  const { body } = await ask(path).catch(() => ({ body: [] }));
  const options = body.map(({ vehicleId }) => h("option", { value: vehicleId }));
  document.getElementById("known").replaceChildren(...options);
}

// Storage may be forbidden; the choice of colours then lasts as long as the page.
function listenToScheme() {
  const select = document.getElementById("scheme");
  const apply = () => {
    document.documentElement.style.colorScheme = select.value;
  };
  try {
    select.value = localStorage.getItem("scheme") ?? select.value;
  } catch {
    // The page begins with the system's colours.
  }
  select.addEventListener("change", () => {
    apply();
    try {
      localStorage.setItem("scheme", select.value);
    } catch {
      // The next visit begins with the system's colours.
    }
  });
  apply();
}

async function explainLimit() {
  const { lowEfficiency } = await limitsKnown;
  const text = `; under ${limitPercent(lowEfficiency)} it means a fault or a leak`;
  document.getElementById("limit").textContent = text;
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", showView);
listenToScheme();
listenToSearch();
watchBrowser();
watchConnection();
explainLimit();
showView();
