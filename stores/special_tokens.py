"""What `[SEP]` and other special tokens are in a text or label: the model's own, or text like any other."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

SpecialTokens = Annotated[Literal["model", "text"], Meta(title="SpecialTokens")]
MODEL: SpecialTokens = "model"
"""ModelScope's way, and the default."""
TEXT: SpecialTokens = "text"


def as_text(value: str) -> str:
    """`value` with a blank after each `[`: the same tokens, except that none of them is special.

    The tokenizer looks for special tokens first, and only then splits at punctuation and drops blanks. No `[` is
    left without a blank after it, so a template and a label together make no special token either.
    """
    return value.replace("[", "[ ")
