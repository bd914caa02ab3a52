"""Validates token rows before they are batched: an invalid row would fail the whole batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from python_backend.errors import InvalidInput
from python_backend.manifest import Manifest

Rows = dict[str, NDArray[np.int64]]
"""`input_ids`, `attention_mask` and `token_type_ids`, each `[n, s]` int64."""


def check_rows(rows: Rows, manifest: Manifest) -> None:
    """Raise `InvalidInput` for rows that the engine cannot take.

    These are rows of different shapes, ids outside the vocabulary, token types that the model does not know, masks
    that are not ones followed by zeros, and rows of more tokens than the engine's maximum.
    """
    if len({values.shape for values in rows.values()}) != 1:
        raise InvalidInput(f"{', '.join(rows)}: shapes differ")
    ids, mask, types = rows["input_ids"], rows["attention_mask"], rows["token_type_ids"]
    if ids.ndim != 2 or 0 in ids.shape:
        raise InvalidInput(f"input_ids: shape {list(ids.shape)}, expected [pairs, tokens]")
    if ids.min() < 0 or ids.max() >= manifest.vocabulary:
        raise InvalidInput(f"input_ids: an id is outside the vocabulary of {manifest.vocabulary} tokens")
    if types.min() < 0 or types.max() >= manifest.token_types:
        known = " or ".join(map(str, range(manifest.token_types)))
        raise InvalidInput(f"token_type_ids: every value must be {known}")
    lengths = mask.sum(axis=1, keepdims=True)
    if lengths.min() < 1 or not np.array_equal(mask, np.arange(mask.shape[1]) < lengths):
        raise InvalidInput("attention_mask: every row must be ones followed by zeros, with at least one 1")
    if lengths.max() > manifest.max_tokens:
        raise InvalidInput(f"input_ids: a row has {lengths.max()} tokens, at most {manifest.max_tokens}")
