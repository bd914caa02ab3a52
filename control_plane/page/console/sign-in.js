// Signing in, with a key or at the operator's identity provider.

import { button, element, field, paragraph, section } from "./dom.js";
import { isTenantKey, signIn } from "./session.js";
import { leaveForProvider, provider, sessionsOf } from "./single-sign-on.js";
import { say } from "./words.js";

// `begin` takes whoever has signed in; `answer` is the provider's, null without one.
export async function drawSignIn(view, begin, answer) {
  const withToken = async (token, person = "") => {
    const identity = await signIn(token, person).catch((error) => {
      // No such path, and not: no admin key is set.
      const isElsewhere = error.status === 404 && error.code !== "not_found";
      throw isElsewhere ? new Error(say(isTenantKey(token) ? "tenantsElsewhere" : "notManagedHere")) : error;
    });
    if (!identity) throw new Error(say("unknownKey"));
    await begin(identity);
  };
  // Browsers offer to store what is typed into a password field, `off` or not, but not a code that is used once.
  const key = element("input", { type: "password", autocomplete: "one-time-code", spellcheck: "false", required: true });
  const form = element("form", { onsubmit: view.act(() => withToken(key.value.trim())) },
    field(say("key"), key, say("keyHint")), element("p", { class: "actions" }, element("button", { type: "submit" }, say("signIn"))));
  const ways = element("div", {});
  view.root.append(ways, section(say("signInWithKey"), view.identity ? null : paragraph(say("signedOut")), form));
  const host = await provider(view.signal);
  if (host) ways.append(section(say("signInWithProvider"), element("p", { class: "actions" }, button(say("signInAt", host), view.act(leaveForProvider)))));
  if (!answer) return;
  const { name, sessions } = await sessionsOf(answer);
  if (sessions.length === 1) return withToken(sessions[0].token, name);
  const choices = sessions.map((session) => button(session.is_operator ? say("operator") : session.tenant_name, view.act(() => withToken(session.token, name))));
  ways.replaceChildren(section(say("chooseRole", name), element("p", { class: "actions" }, ...choices)));
}
