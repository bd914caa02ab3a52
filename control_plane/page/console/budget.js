// A budget of a tenant or of a key: what is used of it, and the fields that set it.

import { get, put } from "./api.js";
import { dialog } from "./dialog.js";
import { actions, element, facts, field, paragraph, section, select } from "./dom.js";
import { number, say, time } from "./words.js";

const RESOURCES = [["pairs", "pairsPerMonth", "usedPairs"], ["tokens", "tokensPerMonth", "usedTokens"]];
const MOST = "100000000000000", TOLD_SHARE = 0.8;

// `path`: where the budget is read and set.
export function budgetSection(view, path, budget) {
  const { nodes, values } = fields(budget);
  return section(say("budget"), element("form", { onsubmit: view.act(() => save(view, path, values())) }, nodes,
    actions(element("button", { type: "submit" }, say("saveBudget")))));
}

export async function budgetDialog(view, path, title) {
  const { nodes, values } = fields(await get(path, view.signal));
  if (await dialog(title, nodes, say("saveBudget"))) await save(view, path, values());
}

async function save(view, path, budget) {
  await put(path, budget);
  await view.redraw();
  view.tell(say("savedBudget"));
}

function fields(budget) {
  const inputs = RESOURCES.map(([resource]) => element("input", { type: "number", min: "1", max: MOST, value: budget[`${resource}_per_month`] }));
  const enforcement = select(["hard", "soft", "shadow"].map((kind) => [kind, say(kind)]), budget.enforcement);
  const known = facts([...RESOURCES.map((resource) => used(budget, ...resource)), [say("renewed"), time(budget.renewed_at)]]);
  const limit = ([resource], index) => [`${resource}_per_month`, inputs[index].value === "" ? null : Number(inputs[index].value)];
  return {
    nodes: [known, paragraph(say("budgetHint")), ...RESOURCES.map(([, title], index) => field(say(title), inputs[index])), field(say("enforcement"), enforcement)],
    values: () => ({ ...Object.fromEntries(RESOURCES.map(limit)), enforcement: enforcement.value }),
  };
}

function used(budget, resource, _, title) {
  const amount = budget[`${resource}_used`], limit = budget[`${resource}_per_month`];
  if (limit === null) return [say(title), number(amount)];
  const text = say("usedOf", number(amount), number(limit));
  return [say(title), element("span", {}, text, element("meter", { min: "0", max: limit, high: TOLD_SHARE * limit, value: Math.min(amount, limit), "aria-label": `${say(title)}: ${text}` }))];
}
