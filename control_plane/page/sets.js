// The tenant's label sets: listed, loaded, saved.

import { countNoMore, drawChips, options } from "./form.js";
import { $, show, state, translate } from "./page.js";
import { RequestError, request } from "./requests.js";

export async function listSets() {
  try {
    const sets = [];
    for (let after = ""; after !== null; ) {
      const page = await request("GET", `/v1/label-sets?limit=100${after && `&after=${encodeURIComponent(after)}`}`);
      sets.push(...page.label_sets);
      after = page.has_more ? page.last_id : null;
    }
    const names = [["", translate("choose")], ...sets.map((set) => [set.name, `${set.name} @${set.version}`])];
    $("set").replaceChildren(...names.map(([value, text]) => new Option(text, value)));
  } catch {
    $("set").replaceChildren(new Option(translate("choose"), ""));
  }
}

export async function loadSet() {
  const name = $("set").value;
  state.set = null;
  if (!name) return;
  try {
    const set = await request("GET", `/v1/label-sets/${name}`);
    state.labels = set.labels.map((label) => label.label);
    state.set = set;
    $("template").value = set.hypothesis_template;
    $("multi").checked = set.multi_label;
    $("threshold").value = set.threshold ?? "";
    $("threshold").dispatchEvent(new Event("input"));
    $("setName").value = name;
    drawChips();
    show(null);
  } catch (error) {
    show(error);
  }
}

export async function saveSet() {
  show(null);
  try {
    const name = $("setName").value.trim();
    if (!name || !$("setName").checkValidity()) throw new RequestError(translate("needName"));
    const { labels, hypothesis_template, multi_label, max_tokens, special_tokens } = options();
    const threshold = Number($("threshold").value) || null;
    const precondition = name === state.set?.name ? { "If-Match": `"${state.set.version}"` } : {};
    // What the form does not show is kept: hypotheses of single labels among it.
    const kept = labels.map((label) => state.set?.labels.find((other) => other.label === label) ?? label);
    const set = { labels: kept, hypothesis_template, multi_label, threshold, max_tokens, special_tokens };
    // A correction is for these labels alone, in this order, with these hypotheses.
    const old = state.set;
    const asBefore = kept.length === old?.labels.length && kept.every((label, index) => label === old.labels[index])
      && hypothesis_template === old.hypothesis_template && multi_label === old.multi_label;
    if (asBefore) set.correction = old.correction;
    const saved = await request("PUT", `/v1/label-sets/${name}`, set, precondition);
    state.set = saved;
    await listSets();
    $("set").value = name;
    countNoMore();
    $("counter").textContent = translate("saved")(`${saved.name}@${saved.version}`);
  } catch (error) {
    show(error);
  }
}
