"""How much of a pair stays under the token limit, as ModelScope really cuts. Knows lengths alone."""

from __future__ import annotations

from typing import NamedTuple

SPECIAL_TOKENS = 3
"""`[CLS] text [SEP] hypothesis [SEP]`."""


class Kept(NamedTuple):
    """Tokens that stay, counted from the left."""

    text: int
    hypothesis: int


def longest_first(text: int, hypothesis: int, max_tokens: int) -> Kept:
    """Lengths after cutting a pair of `text` and `hypothesis` tokens to `max_tokens`, special tokens included.

    ModelScope's preprocessor asks for `only_first`, but its tokenizer wrapper drops that argument and the slow
    `BertTokenizer` falls back to `longest_first`: token by token from the longer side, from the hypothesis when
    both are equal. This is the closed form of that loop.
    """
    excess = text + hypothesis + SPECIAL_TOKENS - max_tokens
    if excess <= 0:
        return Kept(text, hypothesis)
    from_longer = min(excess, abs(text - hypothesis))
    if text > hypothesis:
        text -= from_longer
    else:
        hypothesis -= from_longer
    rest = excess - from_longer
    return Kept(text - rest // 2, hypothesis - (rest + 1) // 2)
