// Signing in at the operator's identity provider: away to it, and back with a code in the address.

import { get, post } from "./api.js";
import { say } from "./words.js";

const FLOW = "sign-in", ERROR_CODE = /^[a-z_]{1,40}$/;
const SENTENCES = { sign_in_failed: "signInFailed", no_role: "noRole", provider_unavailable: "providerUnavailable", invalid_request: "wrongAddress" };

// As it is registered at the provider.
const redirectUrl = () => location.origin + location.pathname;

// Its host; null: there is none.
export const provider = async (signal) => (await get("/v1/sign-in", signal)).provider;

export async function leaveForProvider() {
  const begun = await explained(post("/v1/sign-in", { redirect_url: redirectUrl() }));
  // What is kept in the tab finds its way back: another page's code or state does not fit.
  sessionStorage.setItem(FLOW, JSON.stringify({ flow: begun.flow, hash: location.hash }));
  location.assign(begun.authorization_url);
}

// The provider's answer in the address, which leaves it and the history at once; null: there is none.
export function takeAnswer() {
  const { code, state, error } = Object.fromEntries(new URLSearchParams(location.search));
  if (state === undefined && error === undefined) return null;
  const kept = JSON.parse(sessionStorage.getItem(FLOW) ?? "null");
  sessionStorage.removeItem(FLOW);
  history.replaceState(null, "", location.pathname + (kept?.hash || "#/sign-in"));
  return { code, state, error, flow: kept?.flow };
}

// { name, sessions } of whoever has signed in.
export async function sessionsOf({ code, state, error, flow }) {
  if (!flow) throw new Error(say("notBegunHere"));
  if (error !== undefined || code === undefined) throw new Error(say("providerRefused", ERROR_CODE.test(error) ? error : "?"));
  return explained(post("/v1/sign-in/sessions", { redirect_url: redirectUrl(), flow, state, code }));
}

async function explained(asking) {
  try {
    return await asking;
  } catch (error) {
    throw SENTENCES[error.code] ? new Error(say(SENTENCES[error.code], error.detail)) : error;
  }
}
