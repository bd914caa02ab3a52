// The first sheet of an Excel workbook (ECMA-376): a ZIP archive of XML files, which browsers can inflate and parse.

import { MAX_CELLS, MAX_COLUMNS, TooLarge } from "../csv.js";
import { say } from "./words.js";

const END = 0x06054b50, ENTRY = 0x02014b50, MAX_ENTRIES = 2_000, MAX_INFLATED_BYTES = 100_000_000, STORED = 0, DEFLATED = 8;
const NAMESPACE = "*";

// Its rows, each a list of texts. A `TooLarge`, a RangeError or a TypeError where the archive is not what it says.
export async function readWorkbook(file) {
  const bytes = new Uint8Array(await file.arrayBuffer()), view = new DataView(bytes.buffer);
  const entries = entriesOf(view), inflated = { bytes: 0 };
  const part = async (name) => (entries.has(name) ? parsed(await text(bytes, view, entries.get(name), inflated)) : null);
  const [book, links] = [await part("xl/workbook.xml"), await part("xl/_rels/workbook.xml.rels")];
  const first = book?.getElementsByTagNameNS(NAMESPACE, "sheet")[0]?.getAttribute("r:id");
  const target = [...(links?.getElementsByTagNameNS(NAMESPACE, "Relationship") ?? [])].find((link) => link.getAttribute("Id") === first)?.getAttribute("Target");
  const sheet = target && (await part(target.startsWith("/") ? target.slice(1) : `xl/${target}`));
  if (!sheet) throw new Error(say("notWorkbook"));
  const strings = [...((await part("xl/sharedStrings.xml"))?.getElementsByTagNameNS(NAMESPACE, "si") ?? [])].map(textOf);
  const rows = [];
  let total = 0;
  for (const row of sheet.getElementsByTagNameNS(NAMESPACE, "row")) {
    const found = cells(row, strings);
    total += found.length;
    if (total > MAX_CELLS) throw new TooLarge();
    if (found.some((cell) => cell.trim())) rows.push(found);
  }
  return rows;
}

function parsed(xml) {
  const document = new DOMParser().parseFromString(xml, "text/xml");
  if (document.querySelector("parsererror")) throw new Error(say("notWorkbook"));
  return document;
}

// Without the phonetic hints of Japanese.
const textOf = (node) => [...node.getElementsByTagNameNS(NAMESPACE, "t")].filter((each) => each.parentNode.localName !== "rPh").map((each) => each.textContent).join("");

function cells(row, strings) {
  const found = [];
  for (const cell of row.getElementsByTagNameNS(NAMESPACE, "c")) {
    const value = cell.getElementsByTagNameNS(NAMESPACE, "v")[0]?.textContent ?? "", kind = cell.getAttribute("t");
    const column = columnOf(cell.getAttribute("r") ?? "") ?? found.length;
    if (column >= MAX_COLUMNS) throw new TooLarge();
    while (found.length < column) found.push("");
    found[column] = kind === "s" ? (strings[Number(value)] ?? "") : kind === "inlineStr" ? textOf(cell) : value;
  }
  return found;
}

// 0 for `A7`, 27 for `AB3`; a sheet has at most 16,384 columns.
function columnOf(reference) {
  const letters = /^([A-Z]{1,3})\d+$/.exec(reference)?.[1];
  return letters && [...letters].reduce((sum, letter) => 26 * sum + letter.charCodeAt(0) - 64, 0) - 1;
}

// By name: where the entry's data is described, from the directory at the end of the archive.
function entriesOf(view) {
  let end = view.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end--;
  if (end < 0) throw new Error(say("notWorkbook"));
  const entries = new Map();
  let at = view.getUint32(end + 16, true);
  for (let left = Math.min(view.getUint16(end + 10, true), MAX_ENTRIES); left && at + 46 <= view.byteLength && view.getUint32(at, true) === ENTRY; left--) {
    const length = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, length));
    entries.set(name, { method: view.getUint16(at + 10, true), size: view.getUint32(at + 20, true), offset: view.getUint32(at + 42, true) });
    at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return entries;
}

// `inflated`: { bytes } of all entries together.
async function text(bytes, view, { method, size, offset }, inflated) {
  if (![STORED, DEFLATED].includes(method)) throw new Error(say("notWorkbook"));
  const start = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  const data = bytes.subarray(start, start + size);
  if (method === STORED) return new TextDecoder().decode(data);
  const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader(), chunks = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(chunks).text();
    inflated.bytes += value.length;
    if (inflated.bytes > MAX_INFLATED_BYTES) throw new Error(say("fileTooLarge"));
    chunks.push(value);
  }
}
