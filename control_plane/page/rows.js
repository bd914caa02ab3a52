// The table of the answers: sorted, filtered, taken away as CSV or JSON lines.

import { inert, write } from "./csv.js";
import { $, percent, state, translate } from "./page.js";
import { noneOf } from "./result.js";
import { columnNames } from "./upload.js";

const label = (row) => row.error ? `${translate("failed")}: ${row.error}` : noneOf(row) ? "—" : row.labels[0];

function shownRows() {
  const filter = $("filter").value.trim().toLowerCase();
  const { by, down } = state.sort;
  const order = (a, b) => (typeof a[by] === "number" ? a[by] - b[by] : a[by].localeCompare(b[by], "zh"));
  const rows = state.rows.map((row) => ({ ...row, label: label(row) }));
  const shown = rows.filter((row) => !filter || `${row.text}\n${row.label}`.toLowerCase().includes(filter));
  return shown.sort((a, b) => (down ? order(b, a) : order(a, b)));
}

export function drawTable() {
  $("table").tBodies[0].replaceChildren(...shownRows().map((row) => {
    const line = document.createElement("tr");
    for (const value of [row.number, row.text, row.label, percent(row.score)]) line.insertCell().textContent = value;
    return line;
  }));
  for (const sorter of document.querySelectorAll("[data-sort]")) {
    const active = sorter.dataset.sort === state.sort.by;
    sorter.parentElement.setAttribute("aria-sort", active ? (state.sort.down ? "descending" : "ascending") : "none");
  }
}

export function sortBy(by) {
  state.sort = { by, down: state.sort.by === by && !state.sort.down };
  drawTable();
}

// A CSV's own cells stay as they are; nothing else becomes a formula.
export function downloadCsv() {
  const rows = shownRows(), labels = [...new Set(rows.flatMap((row) => row.labels ?? []))].sort();
  const columns = state.table ? columnNames(state.table) : ["text"], own = state.table?.kind === "csv" ? (cell) => cell : inert;
  const records = rows.map((row) => {
    const cells = columns.map((_, at) => own(row.cells[at] ?? ""));
    const scores = labels.map((label) => row.scores?.[row.labels.indexOf(label)]);
    return [...cells, ...(row.error ? ["", ""] : [inert(row.label), row.score]), ...scores, inert(row.error ?? "")];
  });
  download("wanneng.csv", "text/csv", write([[...columns.map(own), "label", "score", ...labels.map(inert), "error"], ...records]));
}

export function downloadJsonl() {
  const line = ({ text, labels, scores, error }) => JSON.stringify(error ? { text, error } : { text, labels, scores }) + "\n";
  download("wanneng.jsonl", "application/jsonl", shownRows().map(line).join(""));
}

function download(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
