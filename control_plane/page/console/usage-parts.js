// What was used, summed, by day and by label set, as charts and tables.

import { barChart } from "./chart.js";
import { actions, element, facts, link, paragraph, section } from "./dom.js";
import { addressOf } from "./router.js";
import { table } from "./table.js";
import { compact, locale, number, say } from "./words.js";

const DAY_MS = 86_400_000, SETS_IN_CHART = 8, NAME_IN_CHART = 12;
const COUNTS = [["requests", "requests"], ["pairsComputed", "pairs_computed"], ["pairsCached", "pairs_cached"], ["tokens", "tokens"]]
  .map(([title, name]) => ({ get title() { return say(title); }, isNumber: true, cell: (used) => number(used[name]) }));

// With one label set alone where the address says so.
export function usageParts(route, usage) {
  return [summary(usage.total), byDay(usage.days), byLabelSet(route, usage.label_sets)];
}

function summary(total) {
  const pairs = [[say("requests"), number(total.requests)], [say("pairsComputed"), number(total.pairs_computed)], [say("pairsCached"), number(total.pairs_cached)], [say("tokens"), number(total.tokens)]];
  const money = (amount) => new Intl.NumberFormat(locale(), { style: "currency", currency: total.currency, maximumFractionDigits: 6 }).format(amount);
  if (total.cost !== null) pairs.push([say("cost"), `${money(total.cost)} (${say("perMillion", money(total.price_per_million_tokens))})`]);
  return element("section", {}, facts(pairs));
}

function byDay(used) {
  if (!used.length) return paragraph(say("noUsage"), "empty");
  const bars = withoutGaps(used).map(([name, day]) => ({ name: name.slice(5), values: [day?.pairs_computed ?? 0, day?.pairs_cached ?? 0] }));
  const columns = [{ title: say("day"), cell: (day) => day.day }, ...COUNTS];
  return section(say("byDay"), barChart(say("pairsChart", `${used[0].day} – ${used.at(-1).day}`), bars, compact),
    legend(), table(say("byDay"), columns, [...used].reverse()));
}

// Days on which nothing was used are not in the answer.
function withoutGaps(used) {
  const byDay = new Map(used.map((day) => [day.day, day])), days = [];
  for (let at = Date.parse(used[0].day); at <= Date.parse(used.at(-1).day); at += DAY_MS) days.push(new Date(at).toISOString().slice(0, 10));
  return days.map((day) => [day, byDay.get(day)]);
}

function byLabelSet(route, used) {
  const chosen = route.params.label_set ?? "", at = (name) => addressOf([route.screen, ...route.path], { ...route.params, label_set: name });
  if (!used.length && !chosen) return "";
  const bars = used.slice(0, SETS_IN_CHART).map((set) => ({ name: set.label_set.slice(0, NAME_IN_CHART), values: [set.pairs_computed, set.pairs_cached] }));
  const columns = [{ title: say("labelSet"), cell: (set) => link(set.label_set, at(set.label_set)) }, ...COUNTS];
  return section(say("byLabelSet"), chosen ? actions(link(say("everyLabelSet"), at(""))) : paragraph(say("byLabelSetHint")),
    bars.length && !chosen ? barChart(say("byLabelSet"), bars, compact) : "", bars.length && !chosen ? legend() : "", table(say("byLabelSet"), columns, used));
}

const legend = () => actions(element("span", { class: "legend" }, say("pairsComputed")), element("span", { class: "legend second" }, say("pairsCached")));
