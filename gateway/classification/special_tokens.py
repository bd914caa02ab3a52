"""Makes `[SEP]`, `[MASK]` and the model's other special tokens in a caller's text ordinary text."""

from __future__ import annotations


def as_text(value: str) -> str:
    """`value` with a blank after each `[`: the same tokens, except that none of them is special.

    The tokenizer looks for special tokens first, and only then splits at punctuation and drops blanks. No `[` is
    left without a blank after it, so a template and a label together make no special token either.
    """
    return value.replace("[", "[ ")
