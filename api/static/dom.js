// HTML and SVG elements. Text becomes text nodes only: nothing from the API is read as markup.

import { chargerAddress, vehicleAddress } from "./address.js";

const SVG = "http://www.w3.org/2000/svg";
const SHORT_ID = 20;

// An HTML element. Properties that begin with "on" are listeners, the others are attributes; null
// and false leave an attribute out. Children are nodes, texts and lists of them; null is left out.
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// An SVG element, made as `h` does it.
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined),
  );
  return element;
}

// Changes a text only when it differs: selections stay, and screen readers stay silent.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A device's id. It may hold any characters: they are isolated from the text around them, and
// blanks are kept.
export function idText(id) {
  const blank = id.trim() === id ? "" : " blank"; // A border shows where it begins and ends.
  return h("bdi", { class: `id${id.length <= SHORT_ID ? " short" : ""}${blank}` }, id);
}

// A link to a vehicle's or a charger's view, in the window of the view it stands on.
export const vehicleLink = (id, window) => idLink(id, vehicleAddress(id, window));
export const chargerLink = (id, window) => idLink(id, chargerAddress(id, window));
const LINKS = { vehicle: vehicleLink, meter: chargerLink };

// The link to a device of a stream of the API, a vehicle or a meter.
export const deviceLink = (stream, id) => LINKS[stream]?.(id) ?? idText(id);

// It has a name for screen readers where the id has only blanks.
function idLink(id, href) {
  const name = id.trim() ? null : `An id of ${id.length} blanks`;
  return h("a", { class: "id-link", href, "aria-label": name }, idText(id));
}

// Makes `children` those of `parent`, in this order; those that stay in place keep their focus.
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) {
    if (!wanted.has(child)) child.remove();
  }
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}
