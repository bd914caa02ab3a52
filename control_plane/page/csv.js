// CSV (RFC 4180) and the same with tabs or semicolons.

const DELIMITERS = [",", "\t", ";"], RECORDS_THAT_TELL = 50, MIN_SHARE = 0.9;
// A spreadsheet would compute a cell that begins so.
const FORMULA = /^[=+\-@\t\r]/;

export class UnclosedQuote extends Error {}
// Of a table: more than a tab has the memory for, or than a list of columns can show.
export class TooLarge extends Error {}
export const MAX_CELLS = 5_000_000, MAX_COLUMNS = 16_384;

// The records of a text, `most` of them; an `UnclosedQuote` has the number of the record.
export function parse(text, delimiter, most = Infinity) {
  const records = [];
  let record = [], at = 0, cells = 0;
  while (at < text.length && records.length < most) {
    if (++cells > MAX_CELLS || record.length >= MAX_COLUMNS) {
      if (most < Infinity) return records;
      throw new TooLarge();
    }
    let cell = "";
    if (text[at] === '"') {
      for (at++; ; at += 2) {
        const end = text.indexOf('"', at);
        if (end < 0) {
          if (most < Infinity) return records;
          throw new UnclosedQuote(records.length + 1);
        }
        cell += text.slice(at, end);
        at = end;
        if (text[at + 1] !== '"') break;
        cell += '"';
      }
      at++;
    }
    // What follows a closing quote belongs to the cell, as spreadsheets have it.
    const start = at;
    while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at++;
    record.push(cell + text.slice(start, at));
    if (text[at] === delimiter) {
      if (++at === text.length) record.push("");
      else continue;
    } else if (text[at] === "\r" && text[at + 1] === "\n") at += 2;
    else at++;
    records.push(record);
    record = [];
  }
  if (record.length) records.push(record);
  return records.filter((cells) => cells.length > 1 || cells[0] !== "");
}

// Commas, unless tabs or semicolons cut nearly all records into as many cells. A first line `sep=;` says it.
export function delimiterOf(text) {
  const told = /^sep=([,;\t])\r?\n/i.exec(text);
  if (told) return told[1];
  let best = ",", bestShare = 0, bestWidth = 1;
  for (const delimiter of DELIMITERS) {
    const widths = parse(text, delimiter, RECORDS_THAT_TELL).map((record) => record.length);
    const usual = [...widths].sort((a, b) => a - b)[widths.length >> 1];
    const share = usual > 1 ? widths.filter((width) => width === usual).length / widths.length : 0;
    if (share >= MIN_SHARE && (share > bestShare || (share === bestShare && usual > bestWidth))) {
      [best, bestShare, bestWidth] = [delimiter, share, usual];
    }
  }
  return best;
}

const quoted = (value) => `"${value.replaceAll('"', '""')}"`;
const written = (value) => (/[",\r\n]/.test(value) ? quoted(value) : value);
export const inert = (value) => value.replace(FORMULA, "'$&");

// With a byte order mark: without one, Excel takes UTF-8 for the locale's encoding.
export const write = (records) => "\ufeff" + records.map((record) => record.map((value) => written(String(value ?? ""))).join(",") + "\r\n").join("");
