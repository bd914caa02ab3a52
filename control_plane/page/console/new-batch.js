// A batch of a file: of the texts of a table with a label set, or of lines that are requests already.

import { all, post, uploadForm } from "./api.js";
import { actions, checkbox, element, field, link, paragraph, section, select } from "./dom.js";
import { readTable, textRows } from "./sample-files.js";
import { addressOf } from "./router.js";
import { nameOf } from "./set-content.js";
import { number, say } from "./words.js";

const ENDPOINT = "/v1/classify", JSON_LINES = "application/jsonl";

export async function newBatch(view) {
  const sets = await all("/v1/label-sets", "label_sets", view.signal).catch((error) => {
    // A key may lack the scope for them, and have lines of its own.
    if (error.status === 403) return [];
    throw error;
  });
  const area = element("div", { "aria-live": "polite" }), input = element("input", { type: "file", accept: ".csv,.tsv,.xlsx,.txt,.jsonl,.ndjson" });
  let chosen = null;
  input.addEventListener("change", view.act(async () => {
    chosen = null;
    area.replaceChildren();
    if (input.files[0]) chosen = await choice(input.files[0], sets, area);
  }));
  const form = element("form", {
    onsubmit: view.act(async () => {
      if (!chosen) throw new Error(say("noTexts"));
      const body = new FormData();
      body.append("purpose", "batch");
      body.append("file", chosen.lines(), chosen.name);
      const file = await uploadForm("/v1/files", body);
      const batch = await post("/v1/batches", { input_file_id: file.id, endpoint: ENDPOINT, completion_window: "24h", metadata: { file: chosen.name.slice(0, 500) } });
      view.leave(["batches", batch.id], say("batchStarted", batch.id));
    }),
  }, field(say("batchFile"), input, say("batchFileHint")), area, actions(element("button", { type: "submit" }, say("upload"))));
  return section(say("newBatch"), form);
}

// { name, lines() }: the JSON lines of the file, with what the reader chooses in `area`.
async function choice(file, sets, area) {
  if (await isBatchFormat(file)) {
    area.append(paragraph(say("rawLines")));
    return { name: file.name, lines: () => file };
  }
  if (!sets.length) {
    area.append(paragraph(say("needsLabelSet"), "notice"), link(say("newLabelSet"), addressOf(["new-label-set"])));
    return null;
  }
  const table = await readTable(file);
  const count = paragraph(""), columns = element("div");
  const draw = () => {
    columns.replaceChildren(field(say("textColumn"), select(names(table).map((name, column) => [column, name]), table.column, (event) => {
      table.column = Number(event.target.value);
      draw();
    })));
    count.textContent = say("rowsFound", number(textRows(table).length));
  };
  const header = checkbox(say("isHeader"), table.hasHeader, (event) => {
    table.hasHeader = event.target.checked;
    draw();
  });
  const set = select(sets.map(({ name, version }) => nameOf(name, version)).map((reference) => [reference, reference]), "");
  draw();
  area.append(element("div", { class: "grid" }, columns, field(say("withLabelSet"), set)), header.node, count);
  return { name: file.name, lines: () => jsonLines(table, set.value) };
}

export function names(table) {
  const width = table.records.reduce((most, record) => Math.max(most, record?.length ?? 0), 0);
  return Array.from({ length: width }, (_, column) => (table.hasHeader && table.records[0][column]) || say("columnOf", column + 1));
}

function jsonLines(table, labelSet) {
  const rows = textRows(table);
  if (!rows.length) throw new Error(say("noTexts"));
  const lines = rows.map(({ number: row, text }) => JSON.stringify({ custom_id: `row-${row}`, method: "POST", url: ENDPOINT, body: { text, label_set: labelSet } }) + "\n");
  return new Blob(lines, { type: JSON_LINES });
}

async function isBatchFormat(file) {
  if (!/\.(jsonl|ndjson)$/i.test(file.name)) return false;
  const [first] = (await file.slice(0, 1_000_000).text()).replace(/^\ufeff/, "").split("\n");
  try {
    const line = JSON.parse(first);
    return "custom_id" in line && "body" in line;
  } catch {
    return false;
  }
}
