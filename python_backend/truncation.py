"""Computes how much of a pair stays under the token limit, as the model's own pipeline truncates it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class KeptTokens(NamedTuple):
    """Tokens of a pair that stay, counted from the left."""

    text: int
    hypothesis: int


def truncate_longest_first(text: int, hypothesis: int, room: int) -> KeptTokens:
    """Truncate a pair of `text` and `hypothesis` tokens to `room`, special tokens not included.

    ModelScope's preprocessor asks for `only_first`, but its tokenizer wrapper drops the argument, and the slow
    `BertTokenizer` falls back to `longest_first`: it removes token after token from the longer side, from the
    hypothesis where both are equal. This is the closed form of that loop.
    """
    excess = text + hypothesis - room
    if excess <= 0:
        return KeptTokens(text, hypothesis)
    from_longer = min(excess, abs(text - hypothesis))
    if text > hypothesis:
        text -= from_longer
    else:
        hypothesis -= from_longer
    rest = excess - from_longer
    return KeptTokens(text - rest // 2, hypothesis - (rest + 1) // 2)


def truncate_longest_first_fast(text: int, hypothesis: int, room: int) -> KeptTokens:
    """As `longest_first` of the fast tokenizers, which leave an odd token to the longer side."""
    if text + hypothesis <= room:
        return KeptTokens(text, hypothesis)
    shorter, half = min(text, hypothesis), room // 2
    kept_shorter = min(shorter, half)
    kept_longer = room - kept_shorter
    return KeptTokens(kept_longer, kept_shorter) if text > hypothesis else KeptTokens(kept_shorter, kept_longer)


def truncate_only_first(text: int, hypothesis: int, room: int) -> KeptTokens:
    """Truncate the text alone; where that is not enough, which transformers refuses, as `longest_first`."""
    excess = text + hypothesis - room
    if excess < text:
        return KeptTokens(text - max(0, excess), hypothesis)
    return truncate_longest_first(text, hypothesis, room)


TRUNCATIONS: dict[str, Callable[[int, int, int], KeptTokens]] = {
    "longest_first": truncate_longest_first,
    "longest_first_fast": truncate_longest_first_fast,
    "only_first": truncate_only_first,
}
