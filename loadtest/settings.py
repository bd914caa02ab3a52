"""The admin key, which creates the tenants of a load test."""

from __future__ import annotations

import os
from pathlib import Path

ADMIN_KEY = "WANNENG_ADMIN_KEY"


def admin_key(file: str) -> str | None:
    """Of the file, or of WANNENG_ADMIN_KEY where none is named; None: there is none.

    Never of a flag: other users of the machine can read those.
    """
    return (Path(file).read_text(encoding="utf-8") if file else os.environ.get(ADMIN_KEY, "")).strip() or None
