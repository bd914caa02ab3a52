"""Computes how much of a pair stays under the token limit, as ModelScope truncates it."""

from __future__ import annotations

from typing import NamedTuple

PAIR_SPECIAL_TOKENS = 3
"""Special tokens of `[CLS] text [SEP] hypothesis [SEP]`."""


class KeptTokens(NamedTuple):
    """Tokens of a pair that stay, counted from the left."""

    text: int
    hypothesis: int


def truncate_longest_first(text: int, hypothesis: int, max_tokens: int) -> KeptTokens:
    """Truncate a pair of `text` and `hypothesis` tokens to `max_tokens`, special tokens included.

    ModelScope's preprocessor asks for `only_first`, but its tokenizer wrapper drops the argument, and the slow
    `BertTokenizer` falls back to `longest_first`: it removes token after token from the longer side, from the
    hypothesis where both are equal. This is the closed form of that loop.
    """
    excess = text + hypothesis + PAIR_SPECIAL_TOKENS - max_tokens
    if excess <= 0:
        return KeptTokens(text, hypothesis)
    from_longer = min(excess, abs(text - hypothesis))
    if text > hypothesis:
        text -= from_longer
    else:
        hypothesis -= from_longer
    rest = excess - from_longer
    return KeptTokens(text - rest // 2, hypothesis - (rest + 1) // 2)
