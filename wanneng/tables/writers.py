"""Writes a table with its answers as CSV that Excel opens, .xlsx or JSON Lines; the file appears when complete."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wanneng.tables import excel
from wanneng.tables.answers import Answer, AnswerColumns, most_columns
from wanneng.tables.cells import as_json, as_text
from wanneng.tables.outputs import check_output, complete_file
from wanneng.tables.table import Row, Table, unique

FORMATS = (".csv", ".tsv", ".xlsx", ".jsonl", ".ndjson")
FORMULA = re.compile(r"[=+\-@\t\r]")
"""What makes a spreadsheet take a cell as a formula."""


def check_target(target: Path, table: Table, labels: int, *, entailment: bool = False) -> None:
    """`CommandError` for problems that would otherwise show only after all answers have arrived.

    `labels`: for how many labels at most each row is asked, and whether for their own `entailment` too.
    """
    check_output(target, FORMATS, "without --output, `wanneng classify` prints JSON Lines")
    if target.suffix.lower() == ".xlsx":
        excel.check_size(len(table.rows) + 1, len(table.columns) + most_columns(labels, entailment=entailment))


def write_table(target: Path, table: Table, answers: Mapping[int, Answer], labels: Sequence[str]) -> None:
    """`answers` are by row number; `labels` are in the order of the request."""
    with complete_file(target) as partial:
        if target.suffix.lower() in (".jsonl", ".ndjson"):
            _write_json_lines(partial, table, answers)
        elif target.suffix.lower() == ".xlsx":
            excel.write_sheet(partial, _records(table, answers, labels))
        else:
            _write_delimited(partial, table, _records(table, answers, labels), target.suffix.lower())


def json_line(row: Row, answer: Answer) -> str:
    """The row's cells and the answer's fields, which are renamed if the row has the same names."""
    names = unique(list(answer), list(row.cells))
    cells = {name: as_json(cell) for name, cell in row.cells.items()}
    record = cells | dict(zip(names, answer.values(), strict=True))
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _write_json_lines(target: Path, table: Table, answers: Mapping[int, Answer]) -> None:
    with target.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        for row in table.rows:
            file.write(json_line(row, answers.get(row.number, {})) + "\n")


def _write_delimited(target: Path, table: Table, records: Iterator[list[Any]], suffix: str) -> None:
    # With a byte order mark: without one, Excel takes UTF-8 for the locale's encoding.
    with target.open("w", encoding="utf-8-sig", errors="replace", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",")
        for record in records:
            # Cells from a spreadsheet stay as they are; any other text must not become a formula.
            own = len(table.columns) if table.is_spreadsheet else 0
            writer.writerow([*map(as_text, record[:own]), *map(_inert, record[own:])])


def _records(table: Table, answers: Mapping[int, Answer], labels: Sequence[str]) -> Iterator[list[Any]]:
    """The header, and each row with its answer."""
    added = AnswerColumns(answers.values(), labels, table.columns)
    yield [*table.columns, *added.names]
    for row in table.rows:
        cells = (row.cells.get(column) for column in table.columns)
        yield [*cells, *added.cells(answers.get(row.number, {}))]


def _inert(cell: Any) -> str:
    """A number stays one, such as -7."""
    text = as_text(cell)
    return f"'{text}" if FORMULA.match(text) and not isinstance(cell, int | float) else text
