// The keys of a tenant: their list, and the form that makes one.

import { page, post, remove } from "./api.js";
import { actions, button, checkbox, element, field, section } from "./dom.js";
import { confirmed, dialog, shown } from "./dialog.js";
import { pager, table } from "./table.js";
import { say, time } from "./words.js";

const HOUR_S = 3600;

// What shows the keys at `path`, and makes those that have some of `scopes`. `extra`: more actions of a key.
export async function keysOf(view, path, scopes, mayWrite, extra = () => []) {
  const answer = await page(path, view.route, {}, view.signal), isOwn = (key) => key.id === view.identity.keyId;
  const columns = [
    { title: say("keyId"), cell: (key) => element("span", {}, element("code", {}, key.id), isOwn(key) ? ` (${say("thisKey")})` : "") },
    { title: say("name"), cell: (key) => key.name || "—" },
    { title: say("scopes"), cell: (key) => element("span", {}, key.scopes.map((scope) => element("span", { class: "tag" }, scope))) },
    { title: say("created"), cell: (key) => time(key.created_at) },
    { title: say("expiry"), cell: (key) => (key.expires_at ? time(key.expires_at) : say("noExpiry")) },
    { title: say("lastUsed"), cell: (key) => (key.last_used_at ? time(key.last_used_at) : say("never")) },
    ...(mayWrite ? [{ title: "", cell: (key) => actions(
      button(say("rotate"), view.act(() => rotate(view, path, key)), "second"), button(say("revoke"), view.act(() => revoke(view, path, key, isOwn(key))), "danger"), ...extra(key)) }] : []),
  ];
  return [table(say("keys"), columns, answer.keys), pager(view.route, answer) ?? "", mayWrite ? newKey(view, path, scopes) : ""];
}

// A key may do no more than the one that makes it.
function newKey(view, path, allowed) {
  const name = element("input", { autocomplete: "off", maxlength: 100 });
  const expiry = element("input", { type: "datetime-local" });
  const scopes = allowed.map((scope) => [scope, checkbox(scope, scope !== "keys:write")]);
  const form = element("form", {
    onsubmit: view.act(async () => {
      const chosen = scopes.filter(([, { input }]) => input.checked).map(([scope]) => scope);
      const expiresAt = expiry.value ? new Date(expiry.value).toISOString() : null;
      const key = await post(path, { name: name.value.trim(), scopes: chosen, expires_at: expiresAt });
      await shown(say("keyCreated"), key.key, say("keyOnce"));
      await view.redraw();
    }),
  }, element("div", { class: "grid" }, field(say("keyName"), name), field(say("expiresAt"), expiry)),
  element("fieldset", {}, element("legend", {}, say("scopes")), scopes.map(([, { node }]) => element("div", {}, node))),
  actions(element("button", { type: "submit" }, say("create"))));
  return section(say("newKey"), form);
}

async function rotate(view, path, key) {
  const hours = element("input", { type: "number", min: 0, max: 720, step: "any", value: 1, required: true });
  if (!(await dialog(say("rotateTitle", key.id), [field(say("overlap"), hours)], say("rotate")))) return;
  const next = await post(`${path}/${encodeURIComponent(key.id)}/rotate`, { overlap_s: HOUR_S * Number(hours.value) });
  await shown(say("keyCreated"), next.key, say("keyOnce"));
  await view.redraw();
}

async function revoke(view, path, key, isOwn) {
  if (!(await confirmed(`${say("confirmRevoke", key.id)}${isOwn ? ` ${say("revokeOwn")}` : ""}`, say("revoke")))) return;
  await remove(`${path}/${encodeURIComponent(key.id)}`);
  await view.redraw();
  view.tell(say("revoked", key.id));
}
