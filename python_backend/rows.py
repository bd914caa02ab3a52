"""Checks token rows before they share a run: one bad row would break its batch mates. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from python_backend.errors import InvalidRequest

Rows = dict[str, NDArray[np.int64]]
"""`input_ids`, `attention_mask`, `token_type_ids`, each `[n, s]` int64."""


def check_rows(rows: Rows, *, max_tokens: int, vocabulary: int) -> None:
    """Refuse rows of unequal shapes, ids outside the vocabulary, masks with holes, and overlong rows."""
    if len({values.shape for values in rows.values()}) != 1:
        raise InvalidRequest(f"{', '.join(rows)}: shapes differ")
    ids, mask, types = rows["input_ids"], rows["attention_mask"], rows["token_type_ids"]
    if ids.ndim != 2 or 0 in ids.shape:
        raise InvalidRequest(f"input_ids: shape {list(ids.shape)}, [pairs, tokens] is needed")
    if ids.min() < 0 or ids.max() >= vocabulary:
        raise InvalidRequest(f"input_ids: an id outside the vocabulary of {vocabulary} tokens")
    if types.min() < 0 or types.max() > 1:
        raise InvalidRequest("token_type_ids: only 0 and 1 are possible")
    lengths = mask.sum(axis=1, keepdims=True)
    if lengths.min() < 1 or not np.array_equal(mask, np.arange(mask.shape[1]) < lengths):
        raise InvalidRequest("attention_mask: ones and then zeros are needed, at least one 1")
    if lengths.max() > max_tokens:
        raise InvalidRequest(f"input_ids: a row of {lengths.max()} tokens, at most {max_tokens}")
