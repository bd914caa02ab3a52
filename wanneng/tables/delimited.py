"""CSV (RFC 4180) and the same with tabs or semicolons, as Excel and databases write them."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator

from wanneng.errors import CommandError

NAMES = {",": "commas", "\t": "tabs", ";": "semicolons"}
MAX_CELL_CHARACTERS = 2**31 - 1
"""The file is in memory anyway; csv's own limit is 131,072."""
RECORDS_THAT_TELL = 50
MIN_SHARE = 0.9
"""The share of records with the most common number of cells, needed to accept a delimiter other than commas."""
END = "\udfff end"
"""A sentinel after the last record, which no file contains; it is lost if a quoted cell is never closed."""


def read_records(text: str, delimiter: str | None = None) -> tuple[str, list[list[str]]]:
    """The delimiter and the records, without empty lines at the end."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    first_line, _, rest = text.partition("\n")
    if first_line.rstrip("\r").lower() in {f"sep={known}" for known in NAMES}:
        # The line that tells Excel the delimiter.
        delimiter, text = first_line.rstrip("\r")[-1], rest
    delimiter = delimiter or _guess(text)
    records = list(_records(text + f"\n{END}\n", delimiter))
    if records.pop() != [END]:
        raise CommandError(f"record {len(records) + 1} begins a quoted cell that is never closed")
    while records and not any(records[-1]):
        records.pop()
    return delimiter, records


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    # newline="": ends of lines inside of quotes stay as they are.
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _guess(text: str) -> str:
    """Commas, unless tabs or semicolons split nearly all records into the same number of cells."""
    widths = {name: _widths(text, name) for name in NAMES}
    best = max(NAMES, key=lambda name: widths[name])
    return best if widths[best][0] >= MIN_SHARE else ","


def _widths(text: str, delimiter: str) -> tuple[float, int]:
    """The most common number of cells and the share of records that have it, the share first."""
    records = [record for record in itertools.islice(_records(text, delimiter), RECORDS_THAT_TELL) if record]
    if not records:
        return 0.0, 0
    (width, count), *_ = Counter(map(len, records)).most_common(1)
    return (count / len(records), width) if width > 1 else (0.0, 0)
