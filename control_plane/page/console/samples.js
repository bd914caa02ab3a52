// The reader's own sample texts: pasted or from a file, with their right labels where a column has them.

import { actions, button, element, field, paragraph, section, select } from "./dom.js";
import { draft, dropDraft, keepDraft } from "./drafts.js";
import { names } from "./new-batch.js";
import { readTable, textRows } from "./sample-files.js";
import { number, say } from "./words.js";

const SAMPLES = "samples", MAX_SAMPLES = 500;
// What people call the column of the right labels, as in wanneng/examples.py.
const LABEL_NAME = /^(label|answer|gold|target|category|class|intent|topic|sentiment|tag|标签|类别|分类|类目|意图|主题|情感|答案)$/i;

// { id, rows: [{ text, truth }] }, or null.
export const keptSamples = () => draft(SAMPLES);

export function samplesSection(view) {
  const kept = keptSamples();
  return kept ? keptSection(view, kept) : choiceSection(view);
}

function keptSection(view, kept) {
  const labelled = kept.rows.filter(({ truth }) => truth).length;
  const other = button(say("otherTexts"), view.act(() => (dropDraft(SAMPLES), view.redraw())), "second");
  return section(say("samples"), element("p", {}, say("samplesFacts", number(kept.rows.length), number(labelled))), actions(other));
}

function choiceSection(view) {
  const lines = element("textarea", { rows: 6 }), file = element("input", { type: "file", accept: ".csv,.tsv,.xlsx,.txt,.jsonl,.ndjson,.json" });
  const columns = element("div", { class: "grid", "aria-live": "polite" });
  let chosen = null;
  file.addEventListener("change", view.act(async () => {
    chosen = file.files[0] ? await columnsOf(file.files[0], columns) : null;
  }));
  const use = button(say("useTexts"), view.act(async () => {
    const rows = chosen ? chosen() : pasted(lines.value);
    if (!rows.length) throw new Error(say("needSamples"));
    if (!keepDraft(SAMPLES, { id: Date.now(), rows: rows.slice(0, MAX_SAMPLES) })) throw new Error(say("fileTooLarge"));
    await view.redraw();
    if (rows.length > MAX_SAMPLES) view.tell(say("firstTexts", MAX_SAMPLES, number(rows.length)));
  }));
  return section(say("samples"), field(say("texts"), lines, say("samplesHint")), field(say("samplesFile"), file), columns, actions(use));
}

// A tab is before the label; without one in any line nobody has said any.
function pasted(text) {
  const rows = text.split(/\r?\n/).filter((line) => line.trim()).map((line) => line.split("\t"));
  const isLabelled = rows.some((cells) => cells.length > 1);
  return rows.map(([first, ...rest]) => ({ text: first, truth: isLabelled ? (rest.at(-1) ?? "").trim() : null })).filter((row) => row.text.trim());
}

// The rows, once the reader has seen which columns they are.
async function columnsOf(file, area) {
  const table = await readTable(file), titles = names(table).map((name, column) => [column, name]);
  let label = table.labelColumn ?? titles.findIndex(([column, name]) => column !== table.column && LABEL_NAME.test(name.trim()));
  area.replaceChildren(
    field(say("textColumn"), select(titles, table.column, (event) => (table.column = Number(event.target.value)))),
    field(say("labelColumn"), select([[-1, say("none")], ...titles], label, (event) => (label = Number(event.target.value)))),
    paragraph(say("rowsFound", number(textRows(table).length))));
  return () => textRows(table).map(({ text, record }) => ({ text, truth: label < 0 ? null : (record[label] ?? "").trim() }));
}
