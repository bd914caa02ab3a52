"""Length buckets: which model of Triton takes a pair of so many tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

SPECIAL_TOKENS = 3
"""`[CLS]`, and `[SEP]` twice."""


def token_upper_bound(text: str, labels: Sequence[str], template: str, limit: int) -> int:
    """No pair of `text` and a label in `template`, truncated to `limit`, has more tokens; needs no vocabulary.

    WordPiece makes at most one token of a character, after accents and Hangul syllables are decomposed (NFD).
    A tokenizer that breaks this rule costs a second call: `expand` refuses, and the next bucket is tried.
    """
    if len(text) >= limit:
        # NFD makes nothing shorter, and takes time for a long text.
        return limit
    hypothesis = _pieces(template) - len("{}") + max(map(_pieces, labels))
    pieces = _pieces(text) + hypothesis + SPECIAL_TOKENS
    return min(pieces, limit)


def buckets_for(buckets: Sequence[int], tokens: int) -> Sequence[int]:
    """The buckets to try, in turn: the shortest that holds `tokens`, then longer ones; at least the longest."""
    return [bucket for bucket in buckets if bucket >= tokens] or buckets[-1:]


def _pieces(text: str) -> int:
    return len(text) if text.isascii() else len(unicodedata.normalize("NFD", text))
