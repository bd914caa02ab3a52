"""Validates token rows before they are batched: an invalid row would fail the whole batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from python_backend.errors import InvalidInput

Rows = dict[str, NDArray[np.int64]]
"""`input_ids`, `attention_mask` and `token_type_ids`, each `[n, s]` int64."""


def check_rows(rows: Rows, *, max_tokens: int, vocabulary: int) -> None:
    """Raise `InvalidInput` for rows that the engine cannot take.

    These are rows of different shapes, ids outside a vocabulary of `vocabulary` tokens, masks that are not ones
    followed by zeros, and rows of more than `max_tokens` tokens.
    """
    if len({values.shape for values in rows.values()}) != 1:
        raise InvalidInput(f"{', '.join(rows)}: shapes differ")
    ids, mask, types = rows["input_ids"], rows["attention_mask"], rows["token_type_ids"]
    if ids.ndim != 2 or 0 in ids.shape:
        raise InvalidInput(f"input_ids: shape {list(ids.shape)}, expected [pairs, tokens]")
    if ids.min() < 0 or ids.max() >= vocabulary:
        raise InvalidInput(f"input_ids: an id is outside the vocabulary of {vocabulary} tokens")
    if types.min() < 0 or types.max() > 1:
        raise InvalidInput("token_type_ids: every value must be 0 or 1")
    lengths = mask.sum(axis=1, keepdims=True)
    if lengths.min() < 1 or not np.array_equal(mask, np.arange(mask.shape[1]) < lengths):
        raise InvalidInput("attention_mask: every row must be ones followed by zeros, with at least one 1")
    if lengths.max() > max_tokens:
        raise InvalidInput(f"input_ids: a row has {lengths.max()} tokens, at most {max_tokens}")
