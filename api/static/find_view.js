// What a text finds: the chargers and the vehicles that have it in their id, location, VIN or model.
// Devices that were never registered are in no list: they can be gone to by their exact id.

import { deviceList } from "./device_list.js";
import { chargerLink, h, vehicleLink } from "./dom.js";

const LONGEST_ID = 64;

// {nodes, stop}: the elements of the view, and a function that ends its polls.
export function findView(text) {
  const lists = [deviceList("vehicle", text), deviceList("meter", text)];
  const polls = lists.map((panel) => panel.asking.start());
  const back = h("a", { class: "back", href: "#" }, "← The fleet");
  const nodes = lists.map(({ node }) => node);
  return {
    nodes: [
      h("div", { class: "title" }, back, h("h1", {}, "Find a device")),
      exactNode(text),
      h(
        "div",
        { class: "columns" },
        nodes.map((node) => h("div", {}, node)),
      ),
    ],
    stop: () => {
      for (const poll of polls) poll.stop();
    },
  };
}

function exactNode(text) {
  if (text === "" || text.length > LONGEST_ID) return "";
  return h(
    "p",
    { class: "note" },
    "Go to the vehicle ",
    vehicleLink(text),
    " or to the charger ",
    chargerLink(text),
    ", registered or not.",
  );
}
