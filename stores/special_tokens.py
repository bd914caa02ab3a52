"""What `[SEP]` and other special tokens are in a text or label: the model's own, or text like any other."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

SpecialTokens = Annotated[Literal["model", "text"], Meta(title="SpecialTokens")]
MODEL: SpecialTokens = "model"
"""ModelScope's way, and the default."""
TEXT: SpecialTokens = "text"
