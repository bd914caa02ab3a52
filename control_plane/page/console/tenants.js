// The operator's tenants: `#/tenants` lists them, `#/tenants/t_0123` is one of them.

import { page, post } from "./api.js";
import { actions, element, field, link, section } from "./dom.js";
import { addressOf } from "./router.js";
import { pager, table } from "./table.js";
import { show as showTenant } from "./tenant.js";
import { number, say, time } from "./words.js";

export async function show(view) {
  if (view.route.path.length) return showTenant(view);
  const answer = await page("/v1/tenants", view.route, {}, view.signal);
  const limit = (value) => (value === null ? "—" : number(value));
  const columns = [
    { title: say("name"), cell: (tenant) => link(tenant.name, addressOf(["tenants", tenant.id])) },
    { title: say("tenantId"), cell: (tenant) => tenant.id },
    { title: say("status"), cell: (tenant) => say(tenant.status), className: (tenant) => tenant.status === "suspended" && "changed" },
    { title: say("requestsPerMinute"), isNumber: true, cell: (tenant) => limit(tenant.requests_per_minute) },
    { title: say("pairsPerMinute"), isNumber: true, cell: (tenant) => limit(tenant.pairs_per_minute) },
    { title: say("created"), cell: (tenant) => time(tenant.created_at) },
  ];
  view.root.append(table(say("tenants"), columns, answer.tenants), pager(view.route, answer) ?? "", creation(view));
}

function creation(view) {
  const name = element("input", { required: true, maxlength: "100", autocomplete: "off" });
  return section(say("newTenant"), element("form", {
    onsubmit: view.act(async () => {
      const tenant = await post("/v1/tenants", { name: name.value });
      view.leave(["tenants", tenant.id], say("createdTenant", tenant.name));
    }),
  }, field(say("name"), name), actions(element("button", { type: "submit" }, say("create")))));
}
