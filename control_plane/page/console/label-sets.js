// The tenant's label sets.

import { page } from "./api.js";
import { actions, element, link } from "./dom.js";
import { draft } from "./drafts.js";
import { addressOf } from "./router.js";
import { show as showSet } from "./label-set.js";
import { pager, table } from "./table.js";
import { nameOf } from "./set-content.js";
import { say, time } from "./words.js";

const LABELS_SHOWN = 6;

// `#/label-sets` lists them; `#/label-sets/tickets` is one of them.
export async function show(view) {
  if (view.route.path.length) return showSet(view);
  const answer = await page("/v1/label-sets", view.route, {}, view.signal);
  const columns = [
    { title: say("name"), cell: (set) => link(set.name, addressOf(["label-sets", set.name])) },
    { title: say("version"), cell: (set) => [nameOf(set.name, set.version), draft(`set:${set.name}`) ? " ✎" : ""].join("") },
    { title: say("labels"), cell: labelTags },
    { title: say("threshold"), isNumber: true, cell: (set) => set.threshold ?? "—" },
    { title: say("created"), cell: (set) => time(set.created_at) },
  ];
  const mayWrite = view.identity.scopes.includes("label_sets:write");
  view.root.append(actions(mayWrite && link(say("newLabelSet"), addressOf(["new-label-set"]))), table(say("labelSets"), columns, answer.label_sets), pager(view.route, answer) ?? "");
}

function labelTags(set) {
  const tags = set.labels.slice(0, LABELS_SHOWN).map(({ label }) => element("span", { class: "tag" }, label));
  const more = set.labels.length - LABELS_SHOWN;
  return element("span", {}, tags, more > 0 ? ` ${say("labelsMore", more)}` : "");
}
