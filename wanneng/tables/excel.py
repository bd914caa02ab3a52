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

MAX_ROWS, MAX_COLUMNS, MAX_CELL_CHARACTERS = 1_048_576, 16_384, 32_767
"""Of Excel (https://support.microsoft.com, "Excel specifications and limits")."""
LARGEST_INTEGER = 10**15 - 1
"""Excel keeps 15 digits of a number; a longer one, such as an order's number, is written as text."""
NATIVE = (bool, datetime, date, time, timedelta)
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""In XML 1.0."""


def is_workbook(content: bytes) -> bool:
    """Whatever the file is called."""
    if not content.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def read_sheet(source: Path, content: bytes, sheet: str | None) -> tuple[str, list[list[Any]]]:
    """The name and the rows of `sheet`, by default of the one that was open last."""
    openpyxl = _openpyxl()
    try:
        with warnings.catch_warnings():
            # Of what this reads none is lost: styles, charts and the like.
            warnings.simplefilter("ignore")
            workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            if sheet is not None and sheet not in workbook.sheetnames:
                raise CommandError(f"{source} has no sheet {sheet!r}; its sheets are {workbook.sheetnames}")
            chosen = workbook[sheet] if sheet is not None else workbook.active
            chosen.reset_dimensions()
            records = [_without_tail(row) for row in chosen.iter_rows(values_only=True)]
    except CommandError:
        raise
    except Exception as error:  # noqa: BLE001 - openpyxl raises what its parts do
        raise CommandError(f"{source} cannot be read as .xlsx: {error or type(error).__name__}") from None
    while records and not records[-1]:
        records.pop()
    return chosen.title, records


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
