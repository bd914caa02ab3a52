// What the tenant has used, by day, and its budgets of this month.

import { get, query } from "./api.js";
import { element, field, section } from "./dom.js";
import { go } from "./router.js";
import { table } from "./table.js";
import { usageParts } from "./usage-parts.js";
import { number, say, time } from "./words.js";

export async function show(view) {
  const { from, to, label_set } = view.route.params;
  // Before anything is asked: where the days are refused, others can be chosen.
  view.root.append(days(view));
  const [usage, budgets] = await Promise.all([get(query("/v1/usage", { from, to, label_set }), view.signal), get("/v1/budget", view.signal)]);
  view.root.prepend(budgetSection(budgets));
  view.root.append(...usageParts(view.route, usage));
}

// The address has the days, so the form needs no state of its own.
function days(view) {
  const [from, to] = ["from", "to"].map((name) => element("input", { type: "date", value: view.route.params[name] }));
  const form = element("form", { onsubmit: view.act(() => go(["usage"], { ...view.route.params, from: from.value, to: to.value })) },
    element("div", { class: "grid" }, field(say("from"), from), field(say("until"), to), element("div", {}, element("button", { type: "submit" }, say("showDays")))));
  return section(say("usage"), form);
}

function budgetSection(budgets) {
  const rows = [[say("tenantBudget"), budgets.tenant], ...(budgets.key ? [[`${say("keyBudget")} ${budgets.key.key_id}`, budgets.key]] : [])];
  const columns = [
    { title: say("owner"), cell: ([owner]) => owner },
    { title: say("pairs"), cell: ([owner, budget]) => level(`${owner}: ${say("pairs")}`, budget.pairs_used, budget.pairs_per_month) },
    { title: say("tokens"), cell: ([owner, budget]) => level(`${owner}: ${say("tokens")}`, budget.tokens_used, budget.tokens_per_month) },
    { title: say("enforcement"), cell: ([, budget]) => (budget.pairs_per_month === null && budget.tokens_per_month === null ? "—" : say(budget.enforcement)) },
    { title: say("renewed"), cell: ([, budget]) => time(budget.renewed_at) },
  ];
  return section(say("budgets"), table(say("budgets"), columns, rows));
}

function level(name, used, limit) {
  if (limit === null) return `${number(used)} · ${say("unlimited")}`;
  return element("div", {}, say("usedOf", number(used), number(limit)), element("meter", { min: 0, max: limit, high: 0.8 * limit, value: Math.min(used, limit), "aria-label": name }));
}
