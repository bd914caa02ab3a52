// Files of texts become tables: their encoding, their delimiter, their header, their column of texts.

import { MAX_CELLS, TooLarge, delimiterOf, parse } from "./csv.js";

const NAMES = { "utf-8": "UTF-8", "utf-16le": "UTF-16 (LE)", "utf-16be": "UTF-16 (BE)", gb18030: "GB18030" };
const MARKS = [[[0xef, 0xbb, 0xbf], "utf-8"], [[0xff, 0xfe], "utf-16le"], [[0xfe, 0xff], "utf-16be"]];
const SAMPLE_BYTES = 1_000_000, ROWS_THAT_TELL = 100, MAX_NAMES = 1_000;
// What people call the column of the texts, and other columns.
const TEXT_NAME = /^(text|texts|content|sentence|comment|review|message|feedback|question|body|query|.{0,6}(文本|内容|评论|评价|留言|反馈|描述|正文|原文|诉求|句子|问题|弹幕)(内容|文本|描述)?)$/i;
const OTHER_NAME = /^(id|no|label|labels|date|time|name|title|url|score|star|stars|user|source|category|序号|编号|日期|时间|标签|类别|分类|用户|姓名|标题|来源|评分|星级|订单号|.{1,4}(编号|日期|时间|名称))$/i;
const NUMBER = /^[+-]?\d[\d,]*(\.\d+)?%?$/;
// What Chinese text is made of; text in another encoding that is read as UTF-16 has less than half of it.
const USUAL = /[\t\n\r -~\u00a0-\u00ff\u2010-\u2027\u2030-\u203b\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef\u{10000}-\u{3ffff}]/gu;

const count = (text, pattern) => (text.match(pattern) ?? []).length;
const decodeAs = (name, bytes) => new TextDecoder(name).decode(bytes);

function isDecoded(name, bytes) {
  try {
    new TextDecoder(name, { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

// As wanneng/tables/encodings.py does it; null: in none of these encodings.
function encodingOf(bytes) {
  const mark = MARKS.find(([mark]) => mark.every((byte, index) => bytes[index] === byte));
  if (mark) return mark[1];
  const sample = bytes.subarray(0, SAMPLE_BYTES - (SAMPLE_BYTES % 2));
  const zeros = sample.reduce((sum, byte) => sum + (byte === 0 ? 1 : 0), 0);
  const utf8 = decodeAs("utf-8", sample), malformed = count(utf8, /\ufffd/g);
  const beyondAscii = count(utf8, /[^\x00-\x7f\ufffd]/gu);
  if (zeros <= sample.length * 0.2 && (isDecoded("utf-8", bytes) || (beyondAscii > 0 && beyondAscii >= 2 * malformed))) return "utf-8";
  if (zeros > 0 && zeros * 400 >= sample.length) {
    const shares = ["utf-16le", "utf-16be"].map((name) => {
      const text = decodeAs(name, sample);
      return [count(text, USUAL) / [...text].length, name];
    });
    const [share, name] = shares.sort((a, b) => b[0] - a[0])[0];
    if (share >= 0.9) return name;
  }
  const gb18030 = decodeAs("gb18030", sample);
  return count(gb18030, /\ufffd/g) <= Math.max(1, count(gb18030, /[^\x00-\x7f]/gu) * 0.1) ? "gb18030" : null;
}

// { name, encoding, records, hasHeader, column }, or a name of the page's texts for what is wrong.
export async function readFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (/^(PK\x03\x04|\xd0\xcf\x11\xe0)/.test(String.fromCharCode(...bytes.subarray(0, 4)))) return "office";
  const encoding = encodingOf(bytes);
  if (encoding === null) return "unknownEncoding";
  const text = decodeAs(encoding, bytes), isWhole = isDecoded(encoding, bytes);
  const about = { name: file.name, encoding: NAMES[encoding], isWhole };
  const suffix = file.name.toLowerCase().split(".").pop();
  if (["jsonl", "ndjson"].includes(suffix)) return { ...about, ...jsonTable(text) };
  if (!["csv", "tsv"].includes(suffix)) return { ...about, kind: "lines", records: lines(text).map((line) => [line]), hasHeader: false, column: 0 };
  const delimiter = suffix === "tsv" ? "\t" : delimiterOf(text);
  const records = parse(text.replace(/^sep=[,;\t]\r?\n/i, ""), delimiter);
  return { ...about, kind: "csv", ...tableOf(records) };
}

export const tableOf = (records, hasHeader = looksLikeHeader(records)) => ({ records, hasHeader, column: textColumn(records) });

// A line ends at a line feed alone: other separators, such as U+2028, may be part of a text.
export const lines = (text) => text.split("\n").map((line) => line.replace(/\r$/, "")).filter((line) => line.trim());

function jsonTable(text) {
  const parsed = lines(text).map((line) => {
    try {
      const value = JSON.parse(line);
      return typeof value === "string" ? { text: value } : value && typeof value === "object" && !Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  });
  const records = recordsOf(parsed);
  return { kind: "json", records, hasHeader: true, column: textColumn(records.filter(Boolean)) };
}

// Objects as rows below their names; null stays.
export function recordsOf(objects) {
  const names = new Set();
  for (const object of objects) {
    for (const name of Object.keys(object ?? {})) names.add(name);
    if (names.size > MAX_NAMES || names.size * objects.length > MAX_CELLS) throw new TooLarge();
  }
  const asText = (value) => (value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value));
  const columns = [...names];
  return [columns, ...objects.map((object) => object && columns.map((name) => asText(object[name])))];
}

function looksLikeHeader(records) {
  const first = (records[0] ?? []).map((cell) => cell.trim());
  if (new Set(first).size < first.length || first.includes("")) return false;
  if (first.some((name) => TEXT_NAME.test(name) || OTHER_NAME.test(name))) return true;
  const below = records.slice(1, ROWS_THAT_TELL);
  return first.some((name, column) => {
    const cells = below.map((record) => (record[column] ?? "").trim()).filter(Boolean);
    return !NUMBER.test(name) && cells.length > 0 && cells.every((cell) => NUMBER.test(cell));
  });
}

// The one that is called so, or else the one with the longest texts; the page shows which it is.
function textColumn(records) {
  const named = (records[0] ?? []).findIndex((name) => TEXT_NAME.test(name.trim()));
  if (named >= 0) return named;
  const lengths = (records[0] ?? []).map((_, column) => records.slice(1, ROWS_THAT_TELL).reduce((sum, record) => sum + (record[column] ?? "").length, 0));
  return Math.max(0, lengths.indexOf(Math.max(...lengths)));
}
