// The tenant's own keys. A key makes none that may do more than itself.

import { keysOf } from "./tenant-keys.js";

export async function show(view) {
  const { scopes } = view.identity;
  view.root.append(...await keysOf(view, "/v1/keys", scopes, scopes.includes("keys:write")));
}
