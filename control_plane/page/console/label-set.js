// One label set: its content as a draft, its versions, and what may be done with them.

import { get, ifMatch, page, post, put, remove } from "./api.js";
import { actions, button, element, field, link, paragraph, section } from "./dom.js";
import { confirmed } from "./dialog.js";
import { draft, dropDraft, keepDraft } from "./drafts.js";
import { addressOf } from "./router.js";
import { showComparison } from "./set-comparison.js";
import { bodyOf, contentOf, emptyContent, isSame, nameOf } from "./set-content.js";
import { setEditor } from "./set-editor.js";
import { accuracyOf, changedOf } from "./set-evaluation.js";
import { pager, table } from "./table.js";
import { say, time } from "./words.js";

const NEW = "new-label-set";

export async function show(view) {
  const { screen, path: [name, part] } = view.route;
  if (screen === NEW) return showNew(view);
  const set = await get(`/v1/label-sets/${encodeURIComponent(name)}`, view.signal);
  if (part === "compare") return showComparison(view, set);
  view.title(nameOf(set.name, set.version));
  await showSet(view, set);
}

function showNew(view) {
  const kept = draft(NEW) ?? { name: "", content: emptyContent() };
  const keep = () => keepDraft(NEW, { name: name.value, content: kept.content }) || view.tell(say("notKept"));
  const name = element("input", { value: kept.name, autocomplete: "off", required: true, maxlength: 63, pattern: "[a-z0-9][a-z0-9_\\-]{0,62}", oninput: keep });
  const form = element("form", {
    onsubmit: view.act(async () => {
      const saved = await put(`/v1/label-sets/${encodeURIComponent(name.value)}`, bodyOf(kept.content, null));
      dropDraft(NEW);
      view.leave(["label-sets", saved.name], say("savedVersion", nameOf(saved.name, saved.version)));
    }),
  }, section(say("newLabelSet"), field(say("setName"), name, say("setNameHint"))), setEditor(kept.content, null, keep), actions(element("button", { type: "submit" }, say("create"))));
  view.root.append(actions(link(say("backToList"), addressOf(["label-sets"]))), form);
}

// The draft of a set, or one that is equal to its newest version: { base, content }.
export const draftOf = (set) => draft(`set:${set.name}`) ?? { base: set.version, content: contentOf(set) };

export function keepSetDraft(view, set, kept) {
  if (isSame(kept.content, contentOf(set)) && kept.base === set.version) dropDraft(`set:${set.name}`);
  else if (!keepDraft(`set:${set.name}`, kept)) view.tell(say("notKept"));
}

// `evaluation`: its numbers, or null.
export async function saveDraft(view, set, kept, evaluation = null) {
  const path = `/v1/label-sets/${encodeURIComponent(set.name)}`;
  try {
    const saved = await put(path, { ...bodyOf(kept.content, contentOf(set)), evaluation }, ifMatch(kept.base));
    dropDraft(`set:${set.name}`);
    const removed = saved.removed_versions?.length ? ` ${say("removedVersions", saved.removed_versions.join(", "))}` : "";
    await view.redraw();
    view.tell(say("savedVersion", nameOf(saved.name, saved.version)) + removed);
  } catch (error) {
    if (error.status !== 412) throw error;
    await view.redraw();
    view.tell(say("changedMeanwhile"));
  }
}

// What is to be known of a draft, and the way out of one that began from an older version.
export function draftNotice(view, set, kept) {
  if (!draft(`set:${set.name}`)) return "";
  const isStale = kept.base !== set.version;
  const discard = button(say("discardDraft"), view.act(() => (dropDraft(`set:${set.name}`), view.redraw())), "second");
  const rebase = isStale && button(say("rebase", set.version), view.act(() => (keepDraft(`set:${set.name}`, { ...kept, base: set.version }), view.redraw())), "second");
  const compare = isStale && link(say("compare"), addressOf(["label-sets", set.name, "compare"], { first: kept.base, second: set.version }));
  return element("div", { class: "notice" }, isStale ? say("staleDraft", kept.base, set.version) : say("hasDraft", kept.base), actions(compare, rebase, discard));
}

async function showSet(view, set) {
  const kept = draftOf(set), mayWrite = view.identity.scopes.includes("label_sets:write");
  const notice = element("div", {}, draftNotice(view, set, kept));
  const editor = setEditor(kept.content, contentOf(set), () => {
    keepSetDraft(view, set, kept);
    notice.replaceChildren(draftNotice(view, set, kept));
  });
  const form = element("form", {
    onsubmit: view.act(async () => {
      if (isSame(bodyOf(kept.content, contentOf(set)), contentOf(set))) return view.tell(say("unchanged"));
      await saveDraft(view, set, kept);
    }),
  }, notice, editor, actions(mayWrite && element("button", { type: "submit" }, say("saveVersion"))));
  view.root.append(actions(link(say("backToList"), addressOf(["label-sets"])), link(say("workOn"), addressOf(["workbench", set.name]))), form, await versions(view, set, mayWrite));
  if (mayWrite) view.root.append(actions(button(say("deleteSet"), view.act(() => removeSet(view, set)), "danger")));
}

async function versions(view, set, mayWrite) {
  const path = `/v1/label-sets/${encodeURIComponent(set.name)}/versions`;
  const answer = await page(path, view.route, {}, view.signal);
  const rollBack = (version) => view.act(async () => {
    if (!(await confirmed(say("confirmRollBack", set.name, version), say("rollBack")))) return;
    const saved = await post(`/v1/label-sets/${encodeURIComponent(set.name)}/rollback`, { version }, ifMatch(set.version));
    await view.redraw();
    view.tell(say("rolledBack", nameOf(saved.name, saved.version)));
  });
  const isNewest = (each) => each.version === set.version;
  const comparison = (each) => link(say("compare"), addressOf(["label-sets", set.name, "compare"], { first: each.version, second: set.version }));
  const columns = [
    { title: say("version"), cell: (each) => nameOf(each.name, each.version) },
    { title: say("labels"), isNumber: true, cell: (each) => each.labels.length },
    { title: say("threshold"), isNumber: true, cell: (each) => each.threshold ?? "—" },
    { title: say("correction"), cell: (each) => (each.correction ? say("hasCorrection") : "—") },
    { title: say("sampleAccuracy"), isNumber: true, cell: (each) => accuracyOf(each.evaluation) },
    { title: say("flips"), isNumber: true, cell: (each) => changedOf(each.evaluation) },
    { title: say("created"), cell: (each) => time(each.created_at) },
    { title: "", cell: (each) => (isNewest(each) ? say("newest") : actions(comparison(each), mayWrite && button(say("rollBack"), rollBack(each.version), "second"))) },
  ];
  return section(say("versions"), table(say("versions"), columns, answer.label_sets), pager(view.route, answer) ?? "");
}

async function removeSet(view, set) {
  if (!(await confirmed(say("confirmDeleteSet", set.name), say("remove")))) return;
  await remove(`/v1/label-sets/${encodeURIComponent(set.name)}`);
  dropDraft(`set:${set.name}`);
  view.leave(["label-sets"], say("deletedSet", set.name));
}
