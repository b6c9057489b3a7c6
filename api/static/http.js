// Requests to the API, and what it means to a reader when they fail.

import { observeServerDate } from "./server_clock.js";

export const SIGN_IN_PATH = "/v1/session";
const TIMEOUT_MS = 12_000;
const UNAUTHORIZED = 401;
const NO_CONTENT = 204;
let signedOut = () => {};

// Calls `listener` when the API no longer knows who asks.
export function onSignedOut(listener) {
  signedOut = listener;
}

// A request that failed; the message is for the reader. `status` is 0 without an answer.
export class ApiError extends Error {
  constructor(message, { status = 0, retryAfterMs = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

// An id as a segment of a path. Throws ApiError for "." and "..": browsers resolve these, however
// they are encoded.
export function pathSegment(id) {
  if (/^\.\.?$/.test(id)) throw new ApiError(`A browser cannot ask for the id “${id}”`);
  return encodeURIComponent(id);
}

// The answer's body, and whether there is a next page: {body, more}. Throws ApiError, or the
// abort's own error once `signal` is aborted.
export async function ask(path, { method = "GET", body: sent = null, signal = null } = {}) {
  const { response, body } = await fetchJson(path, { method, ...jsonBody(sent) }, signal);
  observeServerDate(response.headers.get("Date"));
  if (response.status === UNAUTHORIZED && path !== SIGN_IN_PATH) signedOut();
  if (!response.ok) throw errorOf(response, body);
  return { body, more: response.headers.has("Link") };
}

function jsonBody(sent) {
  if (sent === null) return {};
  return { body: JSON.stringify(sent), headers: { "Content-Type": "application/json" } };
}

async function fetchJson(path, options, signal) {
  const signals = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  let response = null;
  try {
    const how = { ...options, cache: "no-store", signal: AbortSignal.any(signals) };
    response = await fetch(path, how);
    return { response, body: response.status === NO_CONTENT ? null : await response.json() };
  } catch (error) {
    if (signal?.aborted) throw error;
    if (response) throw new ApiError(`An answer nobody can read, status ${response.status}`);
    if (error.name !== "TimeoutError") throw new ApiError("The API cannot be reached");
    throw new ApiError(`No answer within ${TIMEOUT_MS / 1000} s`);
  }
}

function errorOf(response, body) {
  const details = (body.details ?? []).map((problem) => `${problem.field} ${problem.message}`);
  const text = response.status === 400 ? [body.message, ...details].join(": ") : body.message;
  const retryAfterMs = Number(response.headers.get("Retry-After")) * 1000 || 0;
  return new ApiError(text, { status: response.status, retryAfterMs });
}
