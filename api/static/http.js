// Questions to the API, and what their failing means to a reader.

const TIMEOUT_MS = 12_000;
let aheadMs = 0; // the server's clock against ours; its Date has whole seconds

export class Trouble extends Error {
  constructor(message, { status = 0, retryAfterMs = 0 } = {}) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

export const serverNow = () => Date.now() + aheadMs;

// An id as a part of a path. Browsers resolve "." and "..", however they are encoded.
export function segment(id) {
  if (/^\.\.?$/.test(id)) throw new Trouble(`A browser cannot ask for the id “${id}”`);
  return encodeURIComponent(id);
}

// The answer's body, and whether there is a next page. Throws Trouble.
export async function ask(path, { method = "GET", signal = null } = {}) {
  const limits = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  let response, body;
  try {
    response = await fetch(path, { method, cache: "no-store", signal: AbortSignal.any(limits) });
    body = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (response?.status) throw new Trouble(`An answer nobody can read, status ${response.status}`);
    const late = error.name === "TimeoutError";
    throw new Trouble(late ? `No answer within ${TIMEOUT_MS / 1000} s` : "The API cannot be reached");
  }
  const date = Date.parse(response.headers.get("Date"));
  if (date && Math.abs(date - serverNow()) > 2000) aheadMs = date - Date.now();
  if (!response.ok) {
    const retryAfterMs = Number(response.headers.get("Retry-After")) * 1000 || 0;
    const details = (body.details ?? []).map((problem) => `${problem.field} ${problem.message}`);
    const text = response.status === 400 ? [body.message, ...details].join(": ") : body.message;
    throw new Trouble(text, { status: response.status, retryAfterMs });
  }
  return { body, more: response.headers.has("Link") };
}
