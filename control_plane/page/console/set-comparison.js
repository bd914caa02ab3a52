// Two versions of a label set side by side.

import { all, get } from "./api.js";
import { actions, element, field, link, paragraph, section, select } from "./dom.js";
import { addressOf, go } from "./router.js";
import { FIELDS, contentOf, isSame, nameOf } from "./set-content.js";
import { numbersOfVersion } from "./set-evaluation.js";
import { table } from "./table.js";
import { say } from "./words.js";

const TITLES = { hypothesis_template: "template", multi_label: "multiLabel", max_tokens: "maxTokens", threshold: "threshold", special_tokens: "specialTokens" };

export async function showComparison(view, set) {
  view.title(say("comparing", set.name));
  const path = `/v1/label-sets/${encodeURIComponent(set.name)}`;
  const versions = (await all(`${path}/versions`, "label_sets", view.signal)).map(({ version }) => version);
  const [first, second] = [view.route.params.first ?? versions[1] ?? versions[0], view.route.params.second ?? versions[0]].map(Number);
  const place = ["label-sets", set.name, "compare"];
  const choose = (name, chosen) => select(versions.map((version) => [version, nameOf(set.name, version)]), chosen, (event) => go(place, { first, second, [name]: event.target.value }));
  view.root.append(
    actions(link(nameOf(set.name, set.version), addressOf(["label-sets", set.name]))),
    section(say("compareVersions"), element("div", { class: "columns" }, field(say("firstVersion"), choose("first", first)), field(say("secondVersion"), choose("second", second)))));
  const chosen = await Promise.all([first, second].map((version) => get(`${path}@${version}`, view.signal))), [left, right] = chosen.map(contentOf);
  if (isSame(left, right)) view.root.append(paragraph(say("sameContent"), "notice"));
  const different = (row) => (row.left !== row.right ? "changed" : "");
  const columns = (title) => [
    { title, cell: (row) => row.name },
    { title: nameOf(set.name, first), cell: (row) => row.left, className: different },
    { title: nameOf(set.name, second), cell: (row) => row.right, className: different },
  ];
  view.root.append(
    section(say("labels"), table(say("labels"), columns(say("label")), labelRows(left, right))),
    section(say("options"), table(say("options"), columns(say("property")), propertyRows(left, right))),
    section(say("numbers"), table(say("numbers"), columns(say("property")), numberRows(...chosen.map(({ evaluation }) => numbersOfVersion(evaluation))))));
}

// In the order of the right version, then those that only the left one has.
function labelRows(left, right) {
  const told = (content, name) => {
    const found = content.labels.find(({ label }) => label === name);
    return found ? found.hypothesis || content.hypothesis_template.replace("{}", () => name) : say("absent");
  };
  const names = [...new Set([...right.labels, ...left.labels].map(({ label }) => label))];
  return names.map((name) => ({ name, left: told(left, name), right: told(right, name) }));
}

function propertyRows(left, right) {
  const told = (value) => (value === true ? say("yes") : value === false ? say("no") : value === null ? say("absent") : String(value));
  const rows = FIELDS.map((name) => ({ name: say(TITLES[name]), left: told(left[name]), right: told(right[name]) }));
  const correction = ({ correction: value }) => (value ? JSON.stringify(value) : say("absent"));
  return [...rows, { name: say("correction"), left: correction(left), right: correction(right) }];
}

function numberRows(left, right) {
  const [first, second] = [left, right].map((pairs) => new Map(pairs));
  return [...new Set([...first.keys(), ...second.keys()])].map((name) => ({ name, left: first.get(name) ?? say("absent"), right: second.get(name) ?? say("absent") }));
}
