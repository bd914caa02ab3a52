"""Reads tables from CSV, TSV, Excel, JSON Lines and plain text files."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wanneng import strict_json
from wanneng.errors import CommandError
from wanneng.tables import excel
from wanneng.tables.cells import as_text
from wanneng.tables.delimited import NAMES, read_records
from wanneng.tables.encodings import Decoded, is_malformed
from wanneng.tables.files import decoded, read_bytes, split_lines
from wanneng.tables.table import Row, Table, choose_column, has_header, unique

Format = Literal["csv", "tsv", "xlsx", "jsonl", "txt"]
FORMATS: dict[str, Format] = {"csv": "csv", "tsv": "tsv", "xlsx": "xlsx", "jsonl": "jsonl", "txt": "txt"}
SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".xlsx": "xlsx", ".xlsm": "xlsx"}
SUFFIXES |= {".jsonl": "jsonl", ".ndjson": "jsonl"}
EMPTY = "the text is empty"
MAX_DEPTH = 100
"""Of nested JSON; Python refuses to write some 900 levels."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of the user; None means that it is detected."""

    format: Format | None = None
    encoding: str | None = None
    text_column: str | None = None
    header: bool | None = None
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object as a row; `error`: why it cannot be used."""

    number: int
    cells: Mapping[str, Any]
    error: str | None = None


def read_options(
    format_: str | None, encoding: str | None, text_column: str | None, header: bool | None, sheet: str | None
) -> ReadOptions:
    """From command-line options; `CommandError` for an unknown format."""
    if format_ is not None and format_ not in FORMATS:
        raise CommandError(f"--format {format_!r} is unknown; use one of {', '.join(FORMATS)}")
    return ReadOptions(FORMATS[format_] if format_ else None, encoding, text_column, header, sheet)


def read_table(source: Path, options: ReadOptions = ReadOptions()) -> Table:
    """`-` is standard input. `CommandError` says what cannot be read, and which option helps."""
    return table_of(source, read_bytes(source), options)


def table_of(source: Path, content: bytes, options: ReadOptions = ReadOptions()) -> Table:
    """`content`: the bytes of the file, which messages call `source`."""
    format_ = options.format or SUFFIXES.get(source.suffix.lower(), "txt")
    if excel.is_workbook(content):
        format_ = "xlsx"
    if format_ == "xlsx":
        sheet, records = excel.read_sheet(source, content, options.sheet)
        return _table(source, records, options, f"sheet {sheet!r}")
    text = decoded(source, content, options.encoding)
    if format_ == "jsonl":
        return _json_lines(source, text, options)
    if format_ == "txt":
        return _lines(text)
    try:
        delimiter, csv_records = read_records(text.text, "\t" if format_ == "tsv" else None)
    except CommandError as error:
        raise CommandError(f"{source} cannot be read: {error}") from None
    described = f"{text.encoding}, separated by {NAMES[delimiter]}"
    return _table(source, csv_records, options, described, text.encoding)


def _table(
    source: Path, records: list[list[Any]], options: ReadOptions, described: str, encoding: str = ""
) -> Table:
    texts = [[as_text(cell) for cell in record] for record in records]
    if not any(any(record) for record in texts):
        raise CommandError(f"{source} has no rows")
    header = has_header(texts, options.text_column) if options.header is None else options.header
    width = max(map(len, texts))
    given = [name.strip() for name in texts[0]] if header else []
    columns = unique([*given, *[""] * (width - len(given))])
    try:
        column = choose_column(columns, options.text_column, () if header else texts[0])
    except CommandError as error:
        raise CommandError(f"{source}: {error}") from None
    rows = []
    for number, (record, cells) in enumerate(zip(records, texts, strict=True), 1):
        if header and number == 1:
            continue
        text = cells[column] if column < len(cells) else ""
        problem = _problem_of(text, encoding) if any(cells) else None
        rows.append(Row(number, dict(zip(columns, record, strict=False)), text, problem))
    told = f"the first row is {'the header' if header else 'no header'}; texts are in column {column + 1}"
    named = f" ({columns[column]})" if header else ""
    return Table(columns, rows, f"{described}; {told}{named}; {len(rows)} rows", is_spreadsheet=True)


def _lines(content: Decoded) -> Table:
    rows = [
        Row(number, {"text": line}, line, _problem_of(line, content.encoding))
        for number, line in enumerate(split_lines(content.text), 1)
        if line.strip()
    ]
    return Table(["text"], rows, f"{content.encoding}; {len(rows)} lines of text", is_spreadsheet=False)


def _problem_of(text: str, encoding: str) -> str | None:
    if not text.strip():
        return EMPTY
    return f"the text is not {encoding}" if is_malformed(text) else None


def _json_lines(source: Path, content: Decoded, options: ReadOptions) -> Table:
    parsed = [
        Record(number, *_json_line(line, content.encoding))
        for number, line in enumerate(split_lines(content.text), 1)
        if line.strip()
    ]
    return records_table(source, parsed, content.encoding, "lines of JSON", options)


def records_table(
    source: Path, records: Sequence[Record], encoding: str, kind: str, options: ReadOptions = ReadOptions()
) -> Table:
    """A table of JSON objects; `kind`: what they are, for the user, such as `lines of JSON`."""
    columns = list(dict.fromkeys(name for record in records for name in record.cells))
    if not columns:
        problem = next((record.error for record in records if record.error), f"it has no {kind}")
        raise CommandError(f"{source} cannot be read as {kind}: {problem}")
    try:
        column = columns[choose_column(columns, options.text_column)]
    except CommandError as error:
        raise CommandError(f"{source}: {error}") from None
    rows = []
    for record in records:
        text = record.cells.get(column)
        wrong = _problem_of(text, encoding) if isinstance(text, str) else f"{column!r} is not a text"
        rows.append(Row(record.number, record.cells, as_text(text), record.error or wrong))
    told = f"{encoding}; texts are in the field {column!r}; {len(rows)} {kind}"
    return Table(columns, rows, told, is_spreadsheet=False)


def _json_line(line: str, encoding: str) -> tuple[dict[str, Any], str | None]:
    """The line's fields, or what is wrong with it. A string alone is the field `text`."""
    if is_malformed(line):
        return {}, f"the line is not {encoding}"
    try:
        value = strict_json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, f"the line is not JSON: {error}"
    return fields_of({"text": value} if isinstance(value, str) else value, "line")


def fields_of(value: Any, kind: str) -> tuple[dict[str, Any], str | None]:
    """The fields of a JSON value, or why it has none that can be used; `kind`: what the value is, for the user."""
    if not isinstance(value, dict):
        return {}, f"the {kind} is not an object"
    fault = _fault_in(value)
    return ({}, f"the {kind} {fault}") if fault else (value, None)


def _fault_in(value: Any, depth: int = 0) -> str | None:
    """Why a value that was read from JSON, or a part of it, cannot be written as JSON again; None: it can."""
    if isinstance(value, str):
        return "has characters that are not valid Unicode (lone surrogates)" if is_malformed(value) else None
    if isinstance(value, float):
        return None if math.isfinite(value) else "has a number that is not finite, which JSON cannot hold"
    if not isinstance(value, dict | list):
        return None
    if depth == MAX_DEPTH:
        return f"has lists or objects more than {MAX_DEPTH} deep"
    parts = itertools.chain(value, value.values()) if isinstance(value, dict) else value
    return next(filter(None, (_fault_in(part, depth + 1) for part in parts)), None)
