// Signing in with a key.

import { element, field, paragraph, section } from "./dom.js";
import { isTenantKey, signIn } from "./session.js";
import { say } from "./words.js";

// `begin` takes whoever has signed in.
export function drawSignIn(view, begin) {
  // Browsers offer to store what is typed into a password field, `off` or not, but not a code that is used once.
  const key = element("input", { type: "password", autocomplete: "one-time-code", spellcheck: "false", required: true });
  const form = element("form", {
    onsubmit: view.act(async () => {
      const identity = await signIn(key.value.trim()).catch((error) => {
        // No such path, and not: no admin key is set.
        const isElsewhere = error.status === 404 && error.code !== "not_found";
        throw isElsewhere ? new Error(say(isTenantKey(key.value.trim()) ? "tenantsElsewhere" : "notManagedHere")) : error;
      });
      if (!identity) throw new Error(say("unknownKey"));
      await begin(identity);
    }),
  }, field(say("key"), key, say("keyHint")), element("p", { class: "actions" }, element("button", { type: "submit" }, say("signIn"))));
  view.root.append(section(say("signInWithKey"), view.identity ? null : paragraph(say("signedOut")), form));
}
