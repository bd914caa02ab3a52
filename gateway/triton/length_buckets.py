"""Length buckets: which model of Triton takes a pair of so many tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

SPECIAL_TOKENS = 3
"""`[CLS]`, and `[SEP]` twice."""


def token_upper_bound(text: str, labels: Sequence[str], template: str, max_tokens: int | None) -> int:
    """No pair of `text` and a label in `template` has more tokens than this; needs no vocabulary.

    WordPiece makes at most one token of a character, after accents and Hangul syllables are decomposed (NFD).
    A tokenizer that breaks this rule costs a second call: `expand` refuses, and the next bucket is tried.
    """
    hypothesis = _pieces(template) - len("{}") + max(map(_pieces, labels))
    pieces = _pieces(text) + hypothesis + SPECIAL_TOKENS
    return pieces if max_tokens is None else min(pieces, max_tokens)


def buckets_for(buckets: Sequence[int], tokens: int) -> Sequence[int]:
    """The buckets to try, in turn: the shortest that holds `tokens`, then longer ones; at least the longest."""
    return [bucket for bucket in buckets if bucket >= tokens] or buckets[-1:]


def _pieces(text: str) -> int:
    return len(text) if text.isascii() else len(unicodedata.normalize("NFD", text))
