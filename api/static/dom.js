// Making elements. Text goes in as text nodes only: nothing from the API is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";
const SHORT_ID = 20;

// An HTML element. Properties beginning with "on" are listeners, the others attributes; those that
// are null or false are left out.
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// Change text only when it differs, so that selections and live regions stay quiet.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A device's id: any characters, isolated from the text around them, blanks kept.
export function idText(id) {
  const seen = id.trim() === id ? "" : " blank"; // a border shows where it begins and ends
  return h("bdi", { class: `id${id.length <= SHORT_ID ? " short" : ""}${seen}` }, id);
}

export function vehicleLink(id) {
  const name = id.trim() ? null : `An id of ${id.length} blanks`;
  return h("a", { class: "id-link", href: vehicleHash(id), "aria-label": name }, idText(id));
}

export function vehicleHash(id, day = null) {
  return `#vehicle=${encodeURIComponent(id)}${day ? `&day=${day}` : ""}`;
}

// Show `children` in `parent`, in this order; those that stay where they are keep their focus.
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}
