"""Finds the snapshot that a user means: a folder, or a ModelScope id to download. Reads no weights."""

from __future__ import annotations

import re
from pathlib import Path

from engine.errors import SnapshotError

MODEL_ID = re.compile(r"[\w.-]+/[\w.-]+")


def snapshot_folder(source: str, revision: str | None = None) -> Path:
    """The folder of `source`; an id is downloaded into ModelScope's cache with its progress bars, resumably."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not MODEL_ID.fullmatch(source):
        raise SnapshotError(f"{source} is neither a folder nor a ModelScope id such as owner/name")
    # Here and not above: its import takes seconds, which a local snapshot need not wait for.
    from modelscope.hub.snapshot_download import snapshot_download  # noqa: PLC0415

    try:
        return Path(snapshot_download(source, revision=revision))
    except Exception as error:  # noqa: BLE001 - ModelScope raises requests' errors and a dozen of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SnapshotError(
            f"{source} is no folder here and could not be downloaded from ModelScope: {reason}"
        ) from None
