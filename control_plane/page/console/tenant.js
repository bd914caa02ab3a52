// One tenant, as the operator sees it: its state, quota, budget, keys, usage and errors.

import { get, patch, put, query } from "./api.js";
import { budgetDialog, budgetSection } from "./budget.js";
import { confirmed } from "./dialog.js";
import { actions, button, element, facts, field, link, paragraph, section } from "./dom.js";
import { keysOf } from "./tenant-keys.js";
import { addressOf } from "./router.js";
import { usageParts } from "./usage-parts.js";
import { number, say, time } from "./words.js";

const LIMITS = [
  ["requests_per_minute", "requestsPerMinute"], ["pairs_per_minute", "pairsPerMinute"],
  ["tokens_per_minute", "tokensPerMinute"], ["pairs_in_flight", "pairsInFlight"],
];
export const OUTCOMES = [["answered", "requestsAnswered"], ["refused", "requestsRefused"], ["invalid", "requestsInvalid"], ["failed", "requestsFailed"]];
const SCOPES = ["classify", "label_sets:read", "label_sets:write", "usage:read", "batches:read", "batches:write", "audit:read", "keys:read", "keys:write"];
const NOT_SET_UP = 501;

export async function show(view) {
  const [id] = view.route.path, path = `/v1/tenants/${encodeURIComponent(id)}`;
  const [tenant, budget, usage, status] = await Promise.all([
    get(path, view.signal), get(`${path}/budget`, view.signal), get(query(`${path}/usage`, { label_set: view.route.params.label_set }), view.signal), statusOrNull(view.signal),
  ]);
  view.title(tenant.name);
  const budgetOf = (key) => [button(say("budget"), view.act(() => budgetDialog(view, `${path}/keys/${encodeURIComponent(key.id)}/budget`, say("budgetOf", key.name || key.id))), "second")];
  view.root.append(
    state(view, path, tenant),
    element("div", { class: "columns" }, quota(view, path, tenant), budgetSection(view, `${path}/budget`, budget)),
    section(say("keys"), ...await keysOf(view, `${path}/keys`, SCOPES, true, budgetOf)),
    ...usageParts(view.route, usage),
    status ? requestsSection(status, tenant.id) : "",
    actions(link(say("allTenants"), addressOf(["tenants"])), link(say("audit"), addressOf(["audit"], { tenant_id: tenant.id }))),
  );
}

// What the gateways count; null where they are not known to the control plane.
async function statusOrNull(signal) {
  try {
    return await get("/v1/admin/status", signal);
  } catch (error) {
    if (error.status === NOT_SET_UP) return null;
    throw error;
  }
}

function state(view, path, tenant) {
  const isActive = tenant.status === "active";
  const toggle = view.act(async () => {
    if (isActive && !(await confirmed(say("confirmSuspend", tenant.name), say("suspend")))) return;
    await patch(path, { status: isActive ? "suspended" : "active" });
    await view.redraw();
  });
  const known = [[say("tenantId"), tenant.id], [say("status"), say(tenant.status)], [say("created"), time(tenant.created_at)]];
  return section(say("status"), facts(known), actions(button(say(isActive ? "suspend" : "resume"), toggle, isActive ? "danger" : "")));
}

function quota(view, path, tenant) {
  const inputs = LIMITS.map(([name]) => element("input", { type: "number", min: "1", max: "1000000000", value: tenant[name] }));
  return section(say("quota"), element("form", {
    onsubmit: view.act(async () => {
      const values = LIMITS.map(([name], index) => [name, inputs[index].value === "" ? null : Number(inputs[index].value)]);
      await put(`${path}/quota`, Object.fromEntries(values));
      view.tell(say("savedQuota"));
    }),
  }, paragraph(say("quotaHint")), LIMITS.map(([, title], index) => field(say(title), inputs[index])), actions(element("button", { type: "submit" }, say("saveQuota")))));
}

function requestsSection(status, id) {
  const own = status.tenants.find((tenant) => tenant.tenant_id === id) ?? {};
  return section(say("sinceStart"), facts(OUTCOMES.map(([outcome, title]) => [say(title), number(own[outcome] ?? 0)])));
}
