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

// The address of a vehicle's view: of one UTC day, or of the last 24 hours.
export function vehicleAddress(id, day = null) {
  return `#vehicle=${encodeURIComponent(id)}${day ? `&day=${day}` : ""}`;
}

function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
