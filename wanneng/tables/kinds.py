"""What a file that holds no plain text is, by its first bytes, and what to do with it."""

from __future__ import annotations

import re

SAVE, UNPACK = "open it and save it as .xlsx or .csv", "unpack it first"
KINDS = (
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an Excel or Word file that is old or has a password", SAVE),
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "a ZIP archive", UNPACK),
    (re.compile(rb"\x1f\x8b"), "a gzip archive", UNPACK),
    (re.compile(rb"BZh[1-9]1AY&SY"), "a bzip2 archive", UNPACK),
    (re.compile(rb"\xfd7zXZ\x00"), "an xz archive", UNPACK),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "a Zstandard archive", UNPACK),
    (re.compile(rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07"), "a 7z or RAR archive", UNPACK),
    (re.compile(rb"PAR1\x15"), "a Parquet file", "save its table as .csv or .jsonl"),
    (re.compile(rb"ARROW1\x00|FEA1\x00"), "an Arrow or Feather file", "save its table as .csv or .jsonl"),
    (re.compile(rb"SQLite format 3\x00"), "an SQLite database", "export a table of it as .csv"),
    (re.compile(rb"%PDF-"), "a PDF", "copy its texts into a .txt or .csv file"),
    (
        re.compile(rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP", re.DOTALL),
        "a picture",
        "texts in a .txt or .csv file are needed",
    ),
)
HTML = (
    re.compile(rb"(\xef\xbb\xbf)?\s{0,99}<(!doctype\s+html|html[\s>])", re.IGNORECASE),
    "an HTML page",
    f"{SAVE}, or give --encoding if its lines are the texts",
)


def kind_of(content: bytes, *, html: bool = True) -> str | None:
    """For a message, with what to do; None where it may be a text, which HTML is with `html` False."""
    kinds = (*KINDS, HTML) if html else KINDS
    return next((f"{kind}; {advice}" for magic, kind, advice in kinds if magic.match(content)), None)
