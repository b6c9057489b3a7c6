// The address of a view: what stands behind "#" in the URL, as in
// #vehicle=VH-001&day=2026-01-31. Names and values are percent-encoded.

// The values of an address by name. What cannot be decoded stays as it is.
export function parseAddress(hash) {
  const parts = hash.replace(/^#/, "").split("&");
  return Object.fromEntries(
    parts.map((part) => {
      const [name, ...rest] = part.split("=");
      return [name, decoded(rest.join("="))];
    }),
  );
}

// The address of a vehicle's or a charger's view, in a window as `chosenWindow` gives it; without
// one, of the last 24 hours.
export const vehicleAddress = (id, window = {}) => addressOf({ vehicle: id, ...window });
export const chargerAddress = (id, window = {}) => addressOf({ charger: id, ...window });

// The address of the list of chargers, the worst first.
export const chargersAddress = (window = {}) => addressOf({ chargers: "all", ...window });

// The address of the devices that have a text in their id, location, VIN or model.
export const findAddress = (text) => addressOf({ find: text });

function addressOf(values) {
  const parts = Object.entries(values).map(([name, value]) => `${name}=${encoded(value)}`);
  return `#${parts.join("&")}`;
}

// A colon needs no code, and a time is easier to read with it.
const encoded = (value) => encodeURIComponent(value).replaceAll("%3A", ":");

function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
