// The page: shows the view its address asks for to whoever may see it, and keeps what stands around
// it.

import { parseAddress, vehicleAddress } from "./address.js";
import { askCaller, isSignedIn, mayOperate, mayRead, signOut } from "./caller.js";
import { watchConnection } from "./connection.js";
import { h, say } from "./dom.js";
import { fleetView } from "./fleet_view.js";
import { limitPercent } from "./format.js";
import { ask, onSignedOut } from "./http.js";
import { limitsKnown } from "./limits.js";
import { Poll, watchBrowser } from "./polling.js";
import { signInView } from "./sign_in.js";
import { vehicleView } from "./vehicle_view.js";

const TITLE = "Charging fleet";
const SUGGESTED_VEHICLES = 1000;
const ASK_CALLER_EVERY_MS = 4000;
const ENDED = "You were signed out: your time was up, or the key no longer counts.";
const main = document.getElementById("main");
const known = document.getElementById("known");
let caller = null; // Until the API has said whether it demands a key.
let view = null;

function showView(event) {
  if (caller === null) return;
  const { vehicle, day } = mayRead(caller) ? parseAddress(location.hash) : {};
  view?.stop();
  view = viewOf(vehicle, day);
  document.title = vehicle ? `${vehicle} · ${TITLE}` : TITLE;
  main.replaceChildren(...view.nodes);
  document.getElementById("wanted").value = vehicle ?? "";
  if (event) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function viewOf(vehicle, day) {
  if (!mayRead(caller)) return signInView(caller.reason ?? "", enter);
  return vehicle ? vehicleView(vehicle, day) : fleetView(mayOperate(caller));
}

// Shows what the caller may see, and nothing of what another one saw.
function enter(newCaller) {
  const isFirst = caller === null;
  caller = newCaller;
  const signedIn = isSignedIn(caller);
  document.getElementById("caller").hidden = !signedIn;
  document.getElementById("caller-name").textContent = signedIn
    ? `${caller.name} · ${caller.role}`
    : "";
  document.getElementById("search").hidden = !mayRead(caller);
  known.replaceChildren();
  showView();
  const key = document.getElementById("key");
  if (key) key.focus();
  else if (!isFirst) main.focus({ preventScroll: true });
}

function askWhoIsThere() {
  const asking = new Poll({
    everyMs: ASK_CALLER_EVERY_MS,
    ask: askCaller,
    show: (answer) => {
      asking.stop();
      enter(answer);
    },
    fail: () => {}, // The connection's state says why.
  });
  asking.start();
}

function listenToSignOut() {
  const failed = document.getElementById("sign-out-failed");
  document.getElementById("sign-out").addEventListener("click", async () => {
    say(failed, "");
    try {
      await signOut();
      enter({ demanded: caller.demanded });
    } catch (error) {
      say(failed, `Not signed out: ${error.message}`);
    }
  });
}

function listenToSearch() {
  const input = document.getElementById("wanted");
  document.getElementById("search").addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value) location.hash = vehicleAddress(input.value);
  });
  input.addEventListener("focus", suggestVehicles);
}

// Suggestions are a convenience: without an answer there are none, and any id can be typed.
async function suggestVehicles() {
  if (known.hasChildNodes()) return;
  const asker = caller;
  const path = `/v1/devices/vehicles?limit=${SUGGESTED_VEHICLES}`;
  const { body } = await ask(path).catch(() => ({ body: [] }));
  if (caller !== asker) return;
  const options = body.map(({ vehicleId }) => h("option", { value: vehicleId }));
  known.replaceChildren(...options);
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
listenToSignOut();
onSignedOut(() => mayRead(caller) && enter({ demanded: true, reason: ENDED }));
watchBrowser();
watchConnection();
explainLimit();
askWhoIsThere();
