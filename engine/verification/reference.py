"""References: token rows with the FP32 logits that PyTorch computed for them, in an `.npz` file."""

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
"""Rows in the folder of an fp32 engine for the calibration of an INT8 engine built from it."""
COMMANDS = {CALIBRATION_FILE: "build --precision fp32"}
"""Command of `wanneng engine` that writes a file; `reference` for others."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """The tokens of a pair, without padding."""

    ids: NDArray[np.int64]
    """`[s]` int64: ids of `[CLS] text [SEP] hypothesis [SEP]`."""
    types: NDArray[np.int64]
    """`[s]` int64, token types: 0 for the text, 1 for the hypothesis."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows, ordered by their texts, and PyTorch's logits of each."""

    rows: Sequence[TokenRow]
    texts: NDArray[np.int64]
    """`[n]` int64: number of the row's text; the rows of a text are its labels."""
    logits: NDArray[np.float32]
    """`[n, 3]` float32: entailment, neutral, contradiction."""
    weights_sha256: str
    """Digest of the weights that PyTorch ran."""

    def save(self, path: Path) -> None:
        """Write the reference to an `.npz` file."""
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                **_concatenate_rows(self.rows),
                texts=self.texts,
                logits=self.logits,
                weights_sha256=np.array(self.weights_sha256),
            )


def load_reference(path: Path) -> Reference:
    """Read a file of `Reference.save`; `TargetError` if it is missing or of another kind."""
    with _open_arrays(path) as arrays:
        rows = _split_rows(arrays)
        return Reference(rows, arrays["texts"], arrays["logits"], str(arrays["weights_sha256"]))


def save_rows(rows: Sequence[TokenRow], path: Path) -> None:
    """Write rows without logits, such as those for INT8 calibration, to an `.npz` file."""
    with path.open("wb") as file:
        np.savez_compressed(file, **_concatenate_rows(rows))


def load_rows(path: Path) -> list[TokenRow]:
    """Read a file of `save_rows`; `TargetError` if it is missing or of another kind."""
    with _open_arrays(path) as arrays:
        return _split_rows(arrays)


@contextmanager
def _open_arrays(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    command = f"`wanneng engine {COMMANDS.get(path.name, 'reference')}`"
    try:
        # Opened here, because numpy does not close a file that is not an archive of its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except FileNotFoundError:
        raise TargetError(f"{path} is missing: {command} writes it") from None
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise TargetError(f"{path} is not a file of {command}: {error}") from None


def _concatenate_rows(rows: Sequence[TokenRow]) -> dict[str, NDArray[np.int64]]:
    return {
        "ids": np.concatenate([row.ids for row in rows]),
        "types": np.concatenate([row.types for row in rows]),
        "lengths": np.array([len(row.ids) for row in rows], dtype=np.int64),
    }


def _split_rows(arrays: Mapping[str, NDArray[Any]]) -> list[TokenRow]:
    ends = np.cumsum(arrays["lengths"])[:-1]
    ids, types = np.split(arrays["ids"], ends), np.split(arrays["types"], ends)
    return [TokenRow(*pair) for pair in zip(ids, types, strict=True)]


def pad_rows(rows: Sequence[TokenRow], tokens: int | None = None) -> dict[str, NDArray[np.int64]]:
    """An engine's padded inputs, `[n, s]` int64, for `rows`; `s` is `tokens`, by default the longest row."""
    shape = (len(rows), tokens or max(len(row.ids) for row in rows))
    arrays = {name: np.zeros(shape, dtype=np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for index, row in enumerate(rows):
        arrays["input_ids"][index, : len(row.ids)] = row.ids
        arrays["attention_mask"][index, : len(row.ids)] = 1
        arrays["token_type_ids"][index, : len(row.types)] = row.types
    return arrays
