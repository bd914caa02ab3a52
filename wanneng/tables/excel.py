"""Reads and writes sheets of .xlsx files, with openpyxl, which `wanneng[tables]` installs."""

from __future__ import annotations

import io
import math
import re
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from wanneng.errors import CommandError
from wanneng.tables.cells import as_text
from wanneng.tables.kinds import kind_of
from wanneng.tables.lists import listed

MAX_ROWS, MAX_COLUMNS, MAX_CELL_CHARACTERS = 1_048_576, 16_384, 32_767
"""Of Excel (https://support.microsoft.com, "Excel specifications and limits")."""
LARGEST_INTEGER = 10**15 - 1
"""Excel keeps 15 digits of a number; a longer one, such as an order's number, is written as text."""
NATIVE = (bool, datetime, date, time, timedelta)
WORKBOOK = re.compile(r"/?xl/workbook\w*\.xml", re.IGNORECASE)
"""SharePoint numbers it."""
SAVE_AGAIN = "open it in Excel and save it as .xlsx"
UNCOMPUTED = re.compile(
    rb"""<(?:\w+:)?c\b(?![^>]*\bt=["']str["'])[^>]*>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"""
    rb"""(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"""
)
"""A cell `c` with a formula `f` and without a value `v`; as a string (`t="str"`) that may be the empty one."""
CELL_NAME = re.compile(rb"""\br=["'](\w+)["']""")
CHUNK_BYTES, MAX_FORMULA_BYTES = 2**20, 2**17
"""A formula has at most 8,192 characters."""
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""In XML 1.0."""


def is_workbook(content: bytes) -> bool:
    """Whatever the file is called."""
    if not content.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(map(WORKBOOK.fullmatch, archive.namelist()))
    except zipfile.BadZipFile:
        return False


def read_sheet(source: Path, content: bytes, sheet: str | None) -> tuple[str, list[list[Any]]]:
    """The name and the rows of `sheet`, by default of the one that was open last, or else of the first."""
    openpyxl = _openpyxl()
    if not is_workbook(content):
        raise CommandError(f"{source} cannot be read as .xlsx: {_other_kind(content)}")
    try:
        with warnings.catch_warnings():
            # Of what this reads none is lost: styles, charts and the like.
            warnings.simplefilter("ignore")
            workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            chosen = _chosen(source, workbook, sheet)
            chosen.reset_dimensions()
            records = [_without_tail(row) for row in chosen.iter_rows(values_only=True)]
            uncomputed = _uncomputed(chosen)
    except CommandError:
        raise
    except Exception as error:  # noqa: BLE001 - openpyxl raises what its parts do
        cause = str(error) or type(error).__name__
        raise CommandError(f"{source} cannot be read as .xlsx: {cause}; {SAVE_AGAIN}") from None
    if uncomputed is not None:
        raise CommandError(
            f"{source}: the formula in cell {uncomputed} of sheet {chosen.title!r} has no stored value, because "
            f"no program has computed it; {SAVE_AGAIN}"
        )
    while records and not records[-1]:
        records.pop()
    return chosen.title, records


def _other_kind(content: bytes) -> str:
    """What a file is instead, and the way out."""
    if content.startswith(b"PK\x03\x04"):
        damaged = not zipfile.is_zipfile(io.BytesIO(content))
        return f"it is a {'damaged ' if damaged else ''}ZIP archive without a workbook; {SAVE_AGAIN}"
    kind = kind_of(content)
    if kind is not None:
        return f"it is {kind}"
    return (
        "it is not an Excel file; if it is a text file, name it .csv or give --format csv"
        if content
        else "it is empty"
    )


def _chosen(source: Path, workbook: Any, wanted: str | None) -> Any:
    """A sheet of cells: others hold a chart."""
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    if wanted is None and sheets:
        return workbook.active if workbook.active in workbook.worksheets else workbook.worksheets[0]
    if wanted is None:
        raise CommandError(f"{source} has no sheet with cells; put the table on one")
    if wanted not in sheets:
        raise CommandError(f"{source} has no sheet {wanted!r} with cells; its sheets are {listed(list(sheets))}")
    return sheets[wanted]


def _uncomputed(sheet: Any) -> str | None:
    """A cell with a formula and no value of it, as libraries write them; openpyxl reads it as empty."""
    with sheet.parent._archive.open(sheet._worksheet_path) as file:  # noqa: SLF001 - it has no other way
        kept = b""
        while chunk := file.read(CHUNK_BYTES):
            found = UNCOMPUTED.search(kept + chunk)
            if found is not None:
                name = CELL_NAME.search(found[0])
                return name[1].decode() if name else "of an unknown name"
            kept = (kept + chunk)[-MAX_FORMULA_BYTES:]
    return None


def check_size(rows: int, columns: int) -> None:
    """`CommandError` where a sheet cannot have so many, or cannot be written at all."""
    _openpyxl()
    for count, most, what in ((rows, MAX_ROWS, "rows"), (columns, MAX_COLUMNS, "columns")):
        if count > most:
            raise CommandError(
                f"{count} {what}, but an Excel sheet holds at most {most}: choose an --output that ends in .csv"
            )


def write_sheet(target: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Every text as a text, whatever it begins with; too long a text is cut to what Excel takes."""
    openpyxl = _openpyxl()
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet("wanneng")
    for row in rows:
        sheet.append([_cell(openpyxl, sheet, value) for value in row])
    workbook.save(target)


def _cell(openpyxl: Any, sheet: Any, value: Any) -> Any:
    if value is None or isinstance(value, NATIVE):
        return value
    cell = openpyxl.cell.WriteOnlyCell(sheet)
    if _is_number(value):
        # With all digits: openpyxl would write 16 of a float's 17.
        cell._value, cell.data_type = repr(value), "n"  # noqa: SLF001
    else:
        # As a string: Excel would compute what begins with "=".
        text = FORBIDDEN.sub("\ufffd", as_text(value))[:MAX_CELL_CHARACTERS]
        cell._value, cell.data_type = text, "s"  # noqa: SLF001
    return cell


def _is_number(value: Any) -> bool:
    """Whether a sheet can hold it as a number."""
    if isinstance(value, int):
        return abs(value) <= LARGEST_INTEGER
    return isinstance(value, float) and math.isfinite(value)


def _without_tail(row: Sequence[Any]) -> list[Any]:
    """Without the empty cells at its end, which may be thousands."""
    cells = list(row)
    while cells and cells[-1] is None:
        cells.pop()
    return cells


def _openpyxl() -> Any:
    try:
        import openpyxl  # noqa: PLC0415 - an extra, which the other formats do without
    except ModuleNotFoundError:
        raise CommandError(
            "Excel needs openpyxl: run pip install '.[tables]' in a checkout, or save as .csv"
        ) from None
    return openpyxl
