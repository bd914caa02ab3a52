// Who is signed in. The key, or the token of a session, stays in this tab's sessionStorage and is in no address.

import { request } from "../requests.js";

const KEY = "key", PERSON = "person", TENANT_KEY = /^wns?_/;

// { isOperator, tenantId, tenantName, keyId, subject, person, scopes }, or null: a key is needed. Throws what else went
// wrong. `person`: the name of whoever has signed in at the identity provider, null with a key.
export async function identify() {
  const key = sessionStorage.getItem(KEY), person = sessionStorage.getItem(PERSON);
  try {
    if (key && !isTenantKey(key)) {
      await request("GET", "/v1/tenants?limit=1");
      return { isOperator: true, tenantId: "", tenantName: "", keyId: null, subject: null, person, scopes: ["operator"] };
    }
    const me = await request("GET", "/v1/me");
    // Where no key is needed, an unknown one is ignored.
    if (key && !me.key_id && !me.subject) return null;
    return { isOperator: false, tenantId: me.tenant_id, tenantName: me.tenant_name, keyId: me.key_id, subject: me.subject, person, scopes: me.scopes };
  } catch (error) {
    // The operator's port knows no tenants.
    if (error.status === 401 || (error.status === 404 && !key)) return null;
    throw error;
  }
}

export const isTenantKey = (key) => TENANT_KEY.test(key);
export const hasKey = () => Boolean(sessionStorage.getItem(KEY));
export const hasPerson = () => Boolean(sessionStorage.getItem(PERSON));

// Drafts stay: a key may have expired while one was written.
export const forgetKey = () => keep([null, null]);

// With everything that was kept in this tab.
export const signOut = () => sessionStorage.clear();

// As `identify`, with another key or a person's session; the one before stays where that fails.
export async function signIn(key, person) {
  const before = [KEY, PERSON].map((name) => sessionStorage.getItem(name));
  keep([key, person]);
  let identity = null;
  try {
    identity = await identify();
  } finally {
    if (!identity) keep(before);
  }
  return identity;
}

const keep = (values) => [KEY, PERSON].forEach((name, index) => (values[index] ? sessionStorage.setItem(name, values[index]) : sessionStorage.removeItem(name)));
