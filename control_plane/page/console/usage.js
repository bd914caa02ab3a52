// What the tenant has used, by day, and its budgets of this month.

import { get, query } from "./api.js";
import { barChart } from "./chart.js";
import { element, facts, field, paragraph, section } from "./dom.js";
import { go } from "./router.js";
import { table } from "./table.js";
import { locale, number, say, time } from "./words.js";

const DAY_MS = 86_400_000;

export async function show(view) {
  const { from, to } = view.route.params;
  const [usage, budgets] = await Promise.all([get(query("/v1/usage", { from, to }), view.signal), get("/v1/budget", view.signal)]);
  view.root.append(budgetSection(budgets), days(view), summary(usage.total), chart(usage.days));
}

// The address has the days, so the form needs no state of its own.
function days(view) {
  const [from, to] = ["from", "to"].map((name) => element("input", { type: "date", value: view.route.params[name] }));
  const form = element("form", { onsubmit: view.act(() => go(["usage"], { from: from.value, to: to.value })) },
    element("div", { class: "grid" }, field(say("from"), from), field(say("until"), to), element("div", {}, element("button", { type: "submit" }, say("showDays")))));
  return section(say("usage"), form);
}

function summary(total) {
  const pairs = [[say("requests"), number(total.requests)], [say("pairsComputed"), number(total.pairs_computed)], [say("pairsCached"), number(total.pairs_cached)], [say("tokens"), number(total.tokens)]];
  const money = (amount) => new Intl.NumberFormat(locale(), { style: "currency", currency: total.currency, maximumFractionDigits: 6 }).format(amount);
  if (total.cost !== null) pairs.push([say("cost"), `${money(total.cost)} (${say("perMillion", money(total.price_per_million_tokens))})`]);
  return element("section", {}, facts(pairs));
}

function chart(used) {
  if (!used.length) return paragraph(say("noUsage"), "empty");
  const bars = withoutGaps(used).map(([name, day]) => ({ name: name.slice(5), values: [day?.pairs_computed ?? 0, day?.pairs_cached ?? 0] }));
  const columns = [
    { title: say("day"), cell: (day) => day.day },
    ...[["requests", "requests"], ["pairsComputed", "pairs_computed"], ["pairsCached", "pairs_cached"], ["tokens", "tokens"]]
      .map(([title, name]) => ({ title: say(title), isNumber: true, cell: (day) => number(day[name]) })),
  ];
  return section(say("byDay"), barChart(say("pairsChart", `${used[0].day} – ${used.at(-1).day}`), bars, number),
    element("p", { class: "actions" }, element("span", { class: "legend" }, say("pairsComputed")), element("span", { class: "legend second" }, say("pairsCached"))),
    table(say("byDay"), columns, [...used].reverse()));
}

// Days on which nothing was used are not in the answer.
function withoutGaps(used) {
  const byDay = new Map(used.map((day) => [day.day, day])), days = [];
  for (let at = Date.parse(used[0].day); at <= Date.parse(used.at(-1).day); at += DAY_MS) days.push(new Date(at).toISOString().slice(0, 10));
  return days.map((day) => [day, byDay.get(day)]);
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
