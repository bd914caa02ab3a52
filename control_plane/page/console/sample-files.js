// Files of texts as tables: CSV, TSV, JSON lines and plain text as the page to try it reads them, Excel's, and JSON.

import { translate } from "../page.js";
import { TooLarge, UnclosedQuote } from "../csv.js";
import { readFile, recordsOf, tableOf } from "../files.js";
import { isExport, readExport } from "./label-studio.js";
import { readWorkbook } from "./xlsx.js";
import { say } from "./words.js";

const MAX_BYTES = 50_000_000;

// { name, records, hasHeader, column, labelColumn? }; throws what is wrong, in words.
export async function readTable(file) {
  if (file.size > MAX_BYTES) throw new Error(say("fileTooLarge"));
  const isWorkbook = /\.xlsx$/i.test(file.name);
  try {
    if (isWorkbook) return { name: file.name, ...tableOf(await readWorkbook(file)) };
    if (/\.json$/i.test(file.name)) return { name: file.name, ...jsonTable(JSON.parse((await file.text()).replace(/^\ufeff/, ""))) };
    const table = await readFile(file);
    if (typeof table === "string") throw new Error(translate(table));
    return table;
  } catch (error) {
    if (error instanceof UnclosedQuote) throw new Error(translate("unclosed")(error.message));
    if (error instanceof TooLarge) throw new Error(translate("tooManyCells"));
    // An archive that ends within an entry or does not inflate, JSON of another shape or too deep: not ours to describe.
    if (error instanceof RangeError || error instanceof TypeError) throw new Error(say(isWorkbook ? "notWorkbook" : "notReadable"));
    if (error instanceof SyntaxError) throw new Error(say("notJsonFile", error.message));
    throw error;
  }
}

// Label Studio's export, or a list of objects.
function jsonTable(value) {
  if (!Array.isArray(value)) throw new Error(say("notJsonList"));
  if (isExport(value)) return readExport(value);
  const items = value.map((item) => (typeof item === "string" ? { text: item } : item && typeof item === "object" ? item : {}));
  return tableOf(recordsOf(items), true);
}

// { number, text, record }, without the rows that have no text.
export function textRows(table) {
  const rows = table.records.slice(table.hasHeader ? 1 : 0).map((record, index) => ({ number: index + 1, text: record?.[table.column] ?? "", record: record ?? [] }));
  return rows.filter(({ text }) => text.trim());
}
