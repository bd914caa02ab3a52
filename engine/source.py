"""Locates the snapshot that a user names: a folder, or a ModelScope id, which is downloaded."""

from __future__ import annotations

import re
from pathlib import Path

from engine.errors import SnapshotError, reason_of

MODEL_ID = re.compile(r"[\w.-]+/[\w.-]+")


def snapshot_folder(source: str, revision: str | None = None) -> Path:
    """The folder of `source`; a ModelScope id is downloaded to ModelScope's cache first.

    ModelScope shows the progress and resumes interrupted downloads. `revision` is that of a ModelScope id.
    `SnapshotError` if `source` is neither a folder nor an id, or cannot be downloaded.
    """
    try:
        folder = Path(source).expanduser()
    except RuntimeError:
        raise SnapshotError(f"{source}: that home folder is not known here; give the path without ~") from None
    if folder.is_dir():
        return folder
    if not MODEL_ID.fullmatch(source):
        raise SnapshotError(f"{source} is neither a folder nor a ModelScope id such as owner/name")
    # Imported here, because it takes seconds and a local snapshot does not need it.
    from modelscope.hub.snapshot_download import snapshot_download  # noqa: PLC0415

    try:
        return Path(snapshot_download(source, revision=revision))
    except Exception as error:  # noqa: BLE001 - ModelScope raises errors of requests and many of its own
        raise SnapshotError(
            f"{source} is not a folder here and could not be downloaded from ModelScope: {reason_of(error)}"
        ) from None
