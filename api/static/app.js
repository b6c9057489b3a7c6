// The page: shows the view its address asks for to whoever may see it, and keeps what stands around
// it.

import { chargerAddress, findAddress, parseAddress, vehicleAddress } from "./address.js";
import { askCaller, isSignedIn, mayOperate, mayRead, signOut } from "./caller.js";
import { chargerView } from "./charger_view.js";
import { chargersView } from "./chargers_view.js";
import { watchConnection } from "./connection.js";
import { listPath } from "./device_list.js";
import { h, say } from "./dom.js";
import { findView } from "./find_view.js";
import { fleetView } from "./fleet_view.js";
import { limitPercent } from "./format.js";
import { ask, onSignedOut } from "./http.js";
import { limitsKnown } from "./limits.js";
import { Poll, watchBrowser } from "./polling.js";
import { signInView } from "./sign_in.js";
import { chosenWindow } from "./time_window.js";
import { vehicleView } from "./vehicle_view.js";

const TITLE = "Charging fleet";
const SUGGESTED = 20; // Of each kind.
const TYPING_MS = 200;
const ASK_CALLER_EVERY_MS = 4000;
const ENDED = "You were signed out: your time was up, or the key no longer counts.";
const main = document.getElementById("main");
const known = document.getElementById("known");
let caller = null; // Until the API has said whether it demands a key.
let view = null;
let suggested = new Map(); // Addresses by the ids that are suggested.

function showView(event) {
  if (caller === null) return;
  const asked = mayRead(caller) ? parseAddress(location.hash) : {};
  const name = asked.vehicle ?? asked.charger ?? asked.find ?? (asked.chargers ? "Chargers" : "");
  view?.stop();
  view = viewOf(asked);
  document.title = name ? `${name} · ${TITLE}` : TITLE;
  main.replaceChildren(...view.nodes);
  document.getElementById("wanted").value = asked.chargers ? "" : name;
  if (event) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function viewOf(asked) {
  if (!mayRead(caller)) return signInView(caller.reason ?? "", enter);
  const chosen = chosenWindow(asked);
  if (asked.vehicle) return vehicleView(asked.vehicle, chosen, mayOperate(caller));
  if (asked.charger) return chargerView(asked.charger, chosen, mayOperate(caller));
  if (asked.chargers) return chargersView(chosen);
  return asked.find === undefined ? fleetView(mayOperate(caller)) : findView(asked.find);
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
  for (const id of ["views", "search"]) document.getElementById(id).hidden = !mayRead(caller);
  known.replaceChildren();
  suggested = new Map();
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
  document.getElementById("search").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = input.value;
    await suggest(input);
    location.hash = suggested.get(text) ?? findAddress(text);
  });
  input.addEventListener("focus", () => suggest(input));
  let typing = 0;
  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => suggest(input), TYPING_MS);
  });
}

// Suggestions are a convenience: without an answer there are none, and anything can be sought. A
// suggested id leads to its device; one that a vehicle and a charger have, to both.
async function suggest(input) {
  const asker = caller;
  const text = input.value;
  const found = (plural) => ask(listPath(plural, text, "", SUGGESTED)).catch(() => ({ body: [] }));
  const [vehicles, meters] = await Promise.all([found("vehicles"), found("meters")]);
  if (caller !== asker || input.value !== text) return;
  suggested = addressesOf(vehicles.body, meters.body);
  known.replaceChildren(...[...suggested.keys()].map((value) => h("option", { value })));
}

// Where each id leads.
function addressesOf(vehicles, meters) {
  const addresses = new Map(vehicles.map(({ vehicleId: id }) => [id, vehicleAddress(id)]));
  for (const { meterId: id } of meters) {
    addresses.set(id, addresses.has(id) ? findAddress(id) : chargerAddress(id));
  }
  return addresses;
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
