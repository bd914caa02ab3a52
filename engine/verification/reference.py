"""The reference: token rows, and the FP32 logits that PyTorch gave for them. One `.npz` file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import TargetError

FILE_NAME = "reference.npz"


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
        lengths = np.array([len(row.ids) for row in self.rows], dtype=np.int64)
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                ids=np.concatenate([row.ids for row in self.rows]),
                types=np.concatenate([row.types for row in self.rows]),
                lengths=lengths,
                texts=self.texts,
                logits=self.logits,
                weights_sha256=np.array(self.weights_sha256),
            )


def load_reference(path: Path) -> Reference:
    """Read a file that `Reference.save` wrote; `TargetError` names one that is missing or of another kind."""
    try:
        # Opened here: numpy leaves a file open that turns out not to be one of its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            ends = np.cumsum(stored["lengths"])[:-1]
            ids, types = np.split(stored["ids"], ends), np.split(stored["types"], ends)
            rows = [Row(*pair) for pair in zip(ids, types, strict=True)]
            return Reference(rows, stored["texts"], stored["logits"], str(stored["weights_sha256"]))
    except FileNotFoundError:
        raise TargetError(f"{path} is missing: `wanneng engine reference` writes one") from None
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise TargetError(f"{path} is not a reference: {error}") from None


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
