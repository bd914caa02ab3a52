"""Reads the files of a snapshot; `SnapshotError` names a file whose content is not there or is of another kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.errors import SnapshotError

BYTE_ORDER_MARK = "\ufeff"
POINTER_START = b"version https://git-lfs"
"""Of the file that `git clone` leaves in place of a large one where Git LFS is not installed."""


def check_content(path: Path) -> None:
    """`SnapshotError` unless the file can be read and is no pointer of Git LFS."""
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER_START))
    except FileNotFoundError:
        raise SnapshotError(f"{path} is missing") from None
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror}") from None
    if start == POINTER_START:
        raise SnapshotError(
            f"{path} is a Git LFS pointer, not the file; run `git lfs pull` in the folder of the snapshot"
        )


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark."""
    check_content(path)
    try:
        return path.read_text(encoding="utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise SnapshotError(
            f"{path} cannot be read: its byte {error.start} is not UTF-8; save it as UTF-8"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise SnapshotError(f"{path} is not a JSON object")
    return content
