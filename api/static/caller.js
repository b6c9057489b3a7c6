// Who uses the page, and what the API lets them do. A caller is {demanded, name, role}: whether the
// API demands a key, and whose came. Without one there is neither a name nor a role.

import { ask, SIGN_IN_PATH } from "./http.js";

export const askCaller = async (signal) => (await ask(SIGN_IN_PATH, { signal })).body;

// Exchanges a key for a cookie that no script can read, and returns the caller. Throws ApiError.
export async function signIn(key) {
  const { body } = await ask(SIGN_IN_PATH, { method: "POST", body: { key } });
  return { ...body, demanded: true };
}

export const signOut = () => ask(SIGN_IN_PATH, { method: "DELETE" });

export const isSignedIn = ({ name }) => Boolean(name);
export const mayRead = ({ demanded, name }) => Boolean(name) || !demanded;
export const mayOperate = ({ demanded, role }) => (role ? role === "operator" : !demanded);
