"""The reference: token rows, and the FP32 logits that PyTorch gave for them. One `.npz` file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import TargetError

FILE_NAME = "reference.npz"
CALIBRATION_FILE = "calibration.npz"
"""Rows beside an fp32 engine on which the scales of an INT8 engine made of it are chosen."""
WRITERS = {CALIBRATION_FILE: "build --precision fp32"}
"""Which command writes a file, but for `reference`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One pair, without padding."""

    ids: NDArray[np.int64]
    """`[s]`: `[CLS] text [SEP] hypothesis [SEP]`."""
    types: NDArray[np.int64]
    """`[s]`: 0 for the text, 1 for the hypothesis."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows in the order of their texts, and PyTorch's answer to each."""

    rows: Sequence[Row]
    texts: NDArray[np.int64]
    """`[n]`: the row's text; rows of one text are its labels."""
    logits: NDArray[np.float32]
    """`[n, 3]`: entailment, neutral, contradiction."""
    weights_sha256: str
    """Of the weights that PyTorch ran."""

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                **_joined(self.rows),
                texts=self.texts,
                logits=self.logits,
                weights_sha256=np.array(self.weights_sha256),
            )


def load_reference(path: Path) -> Reference:
    """Read a file that `Reference.save` wrote; `TargetError` names one that is missing or of another kind."""
    with _stored(path) as stored:
        rows = _split(stored)
        return Reference(rows, stored["texts"], stored["logits"], str(stored["weights_sha256"]))


def save_rows(rows: Sequence[Row], path: Path) -> None:
    """Rows alone, such as those that INT8 is calibrated on."""
    with path.open("wb") as file:
        np.savez_compressed(file, **_joined(rows))


def load_rows(path: Path) -> list[Row]:
    """Read a file that `save_rows` wrote; `TargetError` as `load_reference`."""
    with _stored(path) as stored:
        return _split(stored)


@contextmanager
def _stored(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    writer = f"`wanneng engine {WRITERS.get(path.name, 'reference')}`"
    try:
        # Opened here: numpy leaves a file open that turns out not to be one of its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            yield stored
    except FileNotFoundError:
        raise TargetError(f"{path} is missing: {writer} writes one") from None
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise TargetError(f"{path} is not what {writer} writes: {error}") from None


def _joined(rows: Sequence[Row]) -> dict[str, NDArray[np.int64]]:
    return {
        "ids": np.concatenate([row.ids for row in rows]),
        "types": np.concatenate([row.types for row in rows]),
        "lengths": np.array([len(row.ids) for row in rows], dtype=np.int64),
    }


def _split(stored: Mapping[str, NDArray[Any]]) -> list[Row]:
    ends = np.cumsum(stored["lengths"])[:-1]
    ids, types = np.split(stored["ids"], ends), np.split(stored["types"], ends)
    return [Row(*pair) for pair in zip(ids, types, strict=True)]


def padded(rows: Sequence[Row], tokens: int | None = None) -> dict[str, NDArray[np.int64]]:
    """The engine's inputs `[n, s]` for these rows; `s` is `tokens`, or the longest row's."""
    longest = tokens or max(len(row.ids) for row in rows)
    shape = (len(rows), longest)
    arrays = {name: np.zeros(shape, dtype=np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for place, row in enumerate(rows):
        arrays["input_ids"][place, : len(row.ids)] = row.ids
        arrays["attention_mask"][place, : len(row.ids)] = 1
        arrays["token_type_ids"][place, : len(row.types)] = row.types
    return arrays
