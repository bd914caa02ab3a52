// Who is signed in. The key stays in this tab's sessionStorage, and is never part of an address.

import { request } from "../requests.js";

const KEY = "key", TENANT_KEY = /^wn_/;

// { isOperator, tenantId, tenantName, keyId, scopes }, or null: a key is needed. Throws what else went wrong.
export async function identify() {
  const key = sessionStorage.getItem(KEY);
  try {
    if (key && !isTenantKey(key)) {
      await request("GET", "/v1/tenants?limit=1");
      return { isOperator: true, tenantId: "", tenantName: "", keyId: null, scopes: ["operator"] };
    }
    const me = await request("GET", "/v1/me");
    // Where no key is needed, an unknown one is ignored.
    if (key && !me.key_id) return null;
    return { isOperator: false, tenantId: me.tenant_id, tenantName: me.tenant_name, keyId: me.key_id, scopes: me.scopes };
  } catch (error) {
    // The operator's port knows no tenants.
    if (error.status === 401 || (error.status === 404 && !key)) return null;
    throw error;
  }
}

export const isTenantKey = (key) => TENANT_KEY.test(key);
export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

// Drafts stay: a key may have expired while one was written.
export const forgetKey = () => sessionStorage.removeItem(KEY);

// With everything that was kept in this tab.
export const signOut = () => sessionStorage.clear();

// As `identify`, with another key; the one before stays where that fails.
export async function signIn(key) {
  const before = sessionStorage.getItem(KEY);
  sessionStorage.setItem(KEY, key);
  let identity = null;
  try {
    identity = await identify();
  } finally {
    if (!identity) before === null ? forgetKey() : sessionStorage.setItem(KEY, before);
  }
  return identity;
}
