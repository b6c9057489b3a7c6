// The view of somebody who has yet to sign in: a form that takes a key.

import { signIn } from "./caller.js";
import { h, say } from "./dom.js";
import { duration } from "./format.js";

const HOW_TO = "Whoever runs the API makes a key with this command:";
const COMMAND = "python -m api keys create --name NAME --role analyst";

// {nodes, stop}, as every view. `reason` says why it is shown, and `signedIn` takes the caller.
export function signInView(reason, signedIn) {
  const told = h("p", { class: "result bad", role: "alert" }, reason);
  const input = h("input", {
    id: "key",
    type: "password",
    autocomplete: "current-password",
    spellcheck: "false",
    required: true,
  });
  const button = h("button", { type: "submit" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(told, "");
    try {
      signedIn(await signIn(input.value.trim()));
    } catch (error) {
      say(told, refusalText(error));
      button.disabled = false;
      input.select();
    }
  };
  const label = h("label", { for: "key" }, "Key");
  const form = h("form", { method: "post", onsubmit: submit }, label, input, button);
  const howTo = [h("p", { class: "note" }, HOW_TO), h("pre", {}, COMMAND)];
  const title = h("h1", {}, "Sign in");
  const panel = h("section", { class: "panel sign-in" }, title, form, told, howTo);
  return { nodes: [panel], stop() {} };
}

// Why a key was not taken, and how long to wait where that is asked for.
export function refusalText({ message, retryAfterMs }) {
  return retryAfterMs ? `${message}. Try again in ${duration(retryAfterMs)}.` : message;
}
