"""Encodes a text with each of its hypotheses as token rows; each text and each hypothesis is tokenized once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from python_backend.errors import EngineError, NothingToRead, PairTooLong
from python_backend.truncation import TRUNCATIONS

FILE_NAME = "tokenizer.json"
PROBE = "a"
"""A text whose pair with itself shows where the special tokens go."""


@dataclass(frozen=True, slots=True)
class TokenRows:
    """One text with each of its hypotheses: `n` pairs, padded to `s` tokens."""

    input_ids: NDArray[np.int64]
    """`[n, s]` int64, padded with zeros."""
    attention_mask: NDArray[np.int64]
    """`[n, s]` int64: 1 for tokens, 0 for padding."""
    token_type_ids: NDArray[np.int64]
    """`[n, s]` int64: what the tokenizer gives each token, such as 1 for a hypothesis; 0 for padding."""
    tokens: NDArray[np.int32]
    """`[n, 3]` int32: tokens of the row, tokens truncated from the text, tokens truncated from the hypothesis."""
    unknown: NDArray[np.float32]
    """`[n, 2]` float32: share of unknown tokens in the text and in the label, before truncation."""
    text_tokens: int
    """Length of the text in tokens before truncation."""


class Encoded(NamedTuple):
    """A text, label or hypothesis without special tokens around it."""

    ids: list[int]
    unknown_share: float
    """Of tokens that the vocabulary lacks."""


@dataclass(frozen=True, slots=True)
class PairLayout:
    """Where special tokens go in a pair, and the token types, as the tokenizer's own post-processor has them."""

    before: tuple[int, ...]
    """Ids before the text, such as `[CLS]`."""
    between: tuple[int, ...]
    after: tuple[int, ...]
    between_types: tuple[int, ...]
    text_type: int
    """Of the text and of what is before it."""
    hypothesis_type: int
    """Of the hypothesis and of what is after it."""

    @property
    def special_tokens(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)

    def ids(self, text: list[int], hypothesis: list[int]) -> list[int]:
        return [*self.before, *text, *self.between, *hypothesis, *self.after]

    def types(self, text: int, hypothesis: int) -> list[int]:
        """Token types of a pair of so many tokens."""
        return [
            *[self.text_type] * (len(self.before) + text),
            *self.between_types,
            *[self.hypothesis_type] * (hypothesis + len(self.after)),
        ]


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of an engine folder; an `EngineError` names the file if it is missing or invalid."""
    path = folder / FILE_NAME
    if not path.exists():
        raise EngineError(f"{path} is missing: the engine folder needs a tokenizer; build the engine again")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library has no class of errors of its own
        raise EngineError(f"{path} cannot be read: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def pair_layout(tokenizer: Tokenizer) -> PairLayout:
    """Read from an encoded pair; `EngineError` if the tokenizer marks no pairs."""
    encoded = tokenizer.encode(PROBE, PROBE)
    sides, ids, types = encoded.sequence_ids, encoded.ids, encoded.type_ids
    if 0 not in sides or 1 not in sides:
        raise EngineError(f"{FILE_NAME}: the tokenizer makes no tokens of {PROBE!r}, or no pairs")
    text, text_end = sides.index(0), len(sides) - sides[::-1].index(0)
    hypothesis, hypothesis_end = sides.index(1), len(sides) - sides[::-1].index(1)
    return PairLayout(
        tuple(ids[:text]),
        tuple(ids[text_end:hypothesis]),
        tuple(ids[hypothesis_end:]),
        tuple(types[text_end:hypothesis]),
        types[text],
        types[hypothesis],
    )


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of what the vocabulary lacks; None for a tokenizer that splits everything into known bytes."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    token = model.get("unk_token")
    number: int | None = None if token is None else tokenizer.token_to_id(token)
    return number


class PairEncoder:
    """Encodes pairs and caches the tokens of hypotheses, since callers send the same labels again.

    The cache holds the `cached_hypotheses` most recently used hypotheses. `truncation`: one of `TRUNCATIONS`;
    `token_types`: 2, or 1 where the model takes none.
    """

    def __init__(self, tokenizer: Tokenizer, *, truncation: str, token_types: int, cached_hypotheses: int) -> None:
        self._tokenizer = tokenizer
        self._truncate = TRUNCATIONS[truncation]
        self._encoded_hypothesis = lru_cache(maxsize=cached_hypotheses)(self._encode)
        self._unknown = unknown_id(tokenizer)
        self._layout = pair_layout(tokenizer)
        self._has_types = token_types > 1

    def encode(
        self,
        text: str,
        hypotheses: Sequence[str],
        max_tokens: int,
        *,
        labels: Sequence[str] | None = None,
        pad_to: int | None = None,
    ) -> TokenRows:
        """Rows of `text` with each hypothesis, truncated to `max_tokens` as the model's pipeline truncates.

        `labels` are what the hypotheses are about, where a template has more words than they.

        Rows are padded to the longest, or to `pad_to` tokens; `PairTooLong` where a row has more than that,
        `NothingToRead` for a text or labels without tokens, whose answers would be about nothing.
        """
        text_ids, text_unknown = self._encode(text)
        if not text_ids:
            raise NothingToRead("text")
        encoded = [self._encoded_hypothesis(hypothesis) for hypothesis in hypotheses]
        of_labels = encoded if labels is None else [self._encoded_hypothesis(label) for label in labels]
        empty = [str(index) for index, label in enumerate(of_labels) if not label.ids]
        if empty:
            raise NothingToRead(f"labels {','.join(empty)}")
        hypothesis_ids = [hypothesis.ids for hypothesis in encoded]
        room = max_tokens - self._layout.special_tokens
        kept = [self._truncate(len(text_ids), len(ids), room) for ids in hypothesis_ids]
        lengths = [k.text + k.hypothesis + self._layout.special_tokens for k in kept]
        if pad_to is not None and max(lengths) > pad_to:
            raise PairTooLong(f"a pair has {max(lengths)} tokens, more than the {pad_to} of its bucket")
        shape = (len(hypotheses), pad_to or max(lengths))
        # Padding is zeros for every model: it is masked, and comes after all tokens.
        input_ids, mask, types = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        tokens = np.empty((len(hypotheses), 3), dtype=np.int32)
        for row, (ids, keep, length) in enumerate(zip(hypothesis_ids, kept, lengths, strict=True)):
            input_ids[row, :length] = self._layout.ids(text_ids[: keep.text], ids[: keep.hypothesis])
            mask[row, :length] = 1
            if self._has_types:
                types[row, :length] = self._layout.types(keep.text, keep.hypothesis)
            tokens[row] = (length, len(text_ids) - keep.text, len(ids) - keep.hypothesis)
        unknown = np.array([(text_unknown, label.unknown_share) for label in of_labels], dtype=np.float32)
        return TokenRows(input_ids, mask, types, tokens, unknown, len(text_ids))

    def _encode(self, text: str) -> Encoded:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        unknown = sum(token == self._unknown for token in ids)
        return Encoded(ids, unknown / len(ids) if ids else 0.0)
