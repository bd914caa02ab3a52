"""What `[SEP]` and its like in a text or label are: the model's special tokens, or text like any other."""

from __future__ import annotations

from typing import Literal

SpecialTokens = Literal["model", "text"]
MODEL: SpecialTokens = "model"
"""ModelScope's way, and the default."""
TEXT: SpecialTokens = "text"
