"""Length buckets: which model of Triton takes a pair of so many tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from gateway.triton.backend import Pair

SPECIAL_TOKENS = 3
"""`[CLS]`, and `[SEP]` twice."""
MAX_ADDED_TOKENS = 8
"""Special tokens of a pair, and marks of the beginning of a text, of any tokenizer."""
MAX_DEFAULT_TEMPLATE_BYTES = 128
"""Of an engine's default template, which stands in its manifest."""


def bucket_of(buckets: Sequence[int], pairs: Iterable[Pair]) -> int:
    """The shortest that holds every pair, if the tokenizer is WordPiece; 0 where there are no buckets."""
    if not buckets:
        return 0
    pieces = lru_cache(maxsize=None)(_pieces)
    tokens = max(token_upper_bound(pair, buckets[-1], pieces) for pair in pairs)
    return buckets_for(buckets, tokens)[0]


def token_upper_bound(pair: Pair, limit: int, pieces: Callable[[str], int] | None = None) -> int:
    """The pair, truncated to its limit or `limit`, has no more tokens of WordPiece.

    It makes at most one token of a character, after accents and Hangul syllables are decomposed (NFD). Another
    tokenizer, or an engine's long default template, costs a second call: `expand` refuses, and the next bucket is
    tried.
    """
    pieces = pieces or _pieces
    limit = pair.max_tokens or limit
    if len(pair.text) >= limit:
        # NFD makes nothing shorter, and takes time for a long text.
        return limit
    hypothesis = pieces(pair.template or "{}") - len("{}") + pieces(pair.label)
    return min(pieces(pair.text) + hypothesis + SPECIAL_TOKENS, limit)


def may_exceed(text: str, labels: Sequence[str], template: str, limit: int) -> bool:
    """Whether a pair may have more than `limit` tokens of any tokenizer: none makes more than one of a byte."""
    if len(text) >= limit:
        return True
    words = _most_bytes(template) if template else MAX_DEFAULT_TEMPLATE_BYTES
    pieces = _most_bytes(text) + words + max(map(_most_bytes, labels)) + MAX_ADDED_TOKENS
    return pieces > limit


def buckets_for(buckets: Sequence[int], tokens: int) -> Sequence[int]:
    """The buckets to try, in turn: the shortest that holds `tokens`, then longer ones; at least the longest."""
    return [bucket for bucket in buckets if bucket >= tokens] or buckets[-1:]


def _most_bytes(text: str) -> int:
    """In UTF-8, of the longest normal form."""
    return (
        len(text) if text.isascii() else len(unicodedata.normalize("NFKD", text).encode("utf-8", "surrogatepass"))
    )


def _pieces(text: str) -> int:
    return len(text) if text.isascii() else len(unicodedata.normalize("NFD", text))
