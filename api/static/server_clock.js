// The server's clock. Ages and windows are counted by it, because the browser's may be wrong.

const TOLERANCE_MS = 2000; // The HTTP header Date has whole seconds, and an answer takes time.
let aheadMs = 0;

// The server's time, in ms since 1970.
export const serverNow = () => Date.now() + aheadMs;

// Takes in the header Date of an answer; null or what is no date changes nothing.
export function observeServerDate(header) {
  const date = Date.parse(header);
  if (!Number.isNaN(date) && Math.abs(date - serverNow()) > TOLERANCE_MS) {
    aheadMs = date - Date.now();
  }
}
