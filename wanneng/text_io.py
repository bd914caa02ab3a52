"""What the commands print and what they call files, in any locale."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from pathlib import Path

ESCAPE = "wanneng.escape"


def escape_what_the_locale_lacks() -> None:
    """From now on, output has JSON's escapes for what its encoding lacks, so that JSON stays JSON."""
    codecs.register_error(ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPE)


def shown_name(path: Path) -> str:
    """The file's name as valid Unicode, for people: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.name).decode(errors="replace")


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
