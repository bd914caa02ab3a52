// The file of texts: what it was taken for, and what the reader says of it.

import { TooLarge, UnclosedQuote } from "./csv.js";
import { lines, readFile } from "./files.js";
import { $, show, state, translate } from "./page.js";
import { RequestError } from "./requests.js";

const MAX_BYTES = 50_000_000, LINES_SHOWN = 100;

export async function takeFile(file) {
  if (!file) return;
  show(null);
  try {
    if (file.size > MAX_BYTES) throw new RequestError(translate("tooLarge"));
    const table = await readFile(file);
    if (typeof table === "string") throw new RequestError(translate(table));
    state.table = table;
  } catch (error) {
    show(error instanceof UnclosedQuote ? new RequestError(translate("unclosed")(error.message)) : error instanceof TooLarge ? new RequestError(translate("tooManyCells")) : error);
  }
  drawFile();
}

export function dropFile() {
  state.table = null;
  $("file").value = $("lines").value = "";
  drawFile();
  $("lines").focus();
}

export function useHeader(has) {
  state.table.hasHeader = has;
  drawFile();
}

export function useColumn(column) {
  state.table.column = column;
  drawFile();
}

// Names of its columns, or their numbers.
export function columnNames(table) {
  const width = table.records.reduce((most, record) => Math.max(most, record?.length ?? 0), 0);
  return Array.from({ length: width }, (_, column) => (table.hasHeader && table.records[0][column]) || translate("columnNumber")(column + 1));
}

// What is to be classified: { number, text, cells }, or `error` in place of a text that there is none of.
export function rowsToClassify() {
  const table = state.table;
  if (!table) return lines($("lines").value).map((text, index) => ({ number: index + 1, text, cells: [text] }));
  return table.records.slice(table.hasHeader ? 1 : 0).map((record, index) => {
    const number = index + 1, cells = record ?? [], text = cells[table.column] ?? "";
    if (record === null) return { number, text, cells, error: translate("notJson") };
    if (!table.isWhole && text.includes("\ufffd")) return { number, text, cells, error: translate("malformed") };
    return text.trim() ? { number, text, cells } : { number, text, cells, error: translate("notText") };
  });
}

export function drawFile() {
  const table = state.table;
  $("fileArea").hidden = !table;
  $("lines").readOnly = Boolean(table);
  if (!table) return;
  const rows = rowsToClassify();
  $("fileFacts").textContent = translate("fileFacts")(table.name, table.encoding, rows.length);
  $("headerArea").hidden = table.kind !== "csv";
  $("columnArea").hidden = table.kind === "lines";
  $("header").checked = table.hasHeader;
  $("column").replaceChildren(...columnNames(table).map((name, column) => new Option(name, column)));
  $("column").value = table.column;
  $("lines").value = rows.slice(0, LINES_SHOWN).map((row) => row.text.replace(/\r?\n/g, " ⏎ ")).join("\n");
}
