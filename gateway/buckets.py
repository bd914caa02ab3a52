"""Length buckets: which model of Triton takes a pair of at most so many tokens. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

SPECIAL_TOKENS = 3
"""`[CLS]`, and `[SEP]` twice."""


def most_tokens(text: str, labels: Sequence[str], template: str, max_tokens: int | None) -> int:
    """No pair of `text` and a label in `template` has more tokens than this, found without a vocabulary.

    WordPiece gives at most a token for each character, after accents and Hangul syllables were taken apart (NFD).
    A tokenizer that breaks this rule costs a second call: `expand` refuses, and the next bucket is asked.
    """
    hypothesis = _pieces(template) - len("{}") + max(map(_pieces, labels))
    pieces = _pieces(text) + hypothesis + SPECIAL_TOKENS
    return pieces if max_tokens is None else min(pieces, max_tokens)


def fitting(buckets: Sequence[int], tokens: int) -> Sequence[int]:
    """The buckets to ask, in turn: the shortest that holds `tokens`, then those above it; at least the longest."""
    return [bucket for bucket in buckets if bucket >= tokens] or buckets[-1:]


def _pieces(text: str) -> int:
    return len(text) if text.isascii() else len(unicodedata.normalize("NFD", text))
