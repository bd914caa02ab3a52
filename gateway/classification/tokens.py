"""How many tokens pairs have, estimated before a tokenizer has seen them, and what they cost the engine."""

from __future__ import annotations

from gateway.triton.length_buckets import SPECIAL_TOKENS

ASCII_CHARACTERS_PER_TOKEN = 4
"""Of English words; other scripts have about a token for each character."""
MIN_PAIR_TOKENS = 16
"""A pair counts as at least so many: the engine takes half of the time for half of the tokens, down to a few, but
what surrounds it takes the same for every pair."""
ENCODED_PER_TOKEN = 16
"""Tokens of a text that the tokenizer encodes in the time in which the engine computes one."""


def encoding_cost(text_tokens: int) -> int:
    """What encoding a text costs, in tokens of the engine, however few of them it is truncated to."""
    return text_tokens // ENCODED_PER_TOKEN


def estimate_tokens(text: str) -> int:
    """In constant time; a tokenizer may differ from it by half."""
    return len(text) // ASCII_CHARACTERS_PER_TOKEN + 1 if text.isascii() else len(text)


def pair_tokens(text_tokens: int, label_tokens: int, max_tokens: int) -> int:
    """Estimated tokens of a pair, truncated to `max_tokens`."""
    return min(max_tokens, text_tokens + label_tokens + SPECIAL_TOKENS)


def rounded_share(share: float) -> float:
    """Shares travel as float32, and have four digits; one that is not 0 stays so."""
    return max(round(share, 4), 0.0001) if share else 0.0
