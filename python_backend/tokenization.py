"""Encodes pairs of texts and hypotheses as token rows; each text and each hypothesis is tokenized once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from python_backend.errors import EngineError, InvalidInput, NothingToRead, PairTooLong, UnreadableLabel
from python_backend.special_tokens import without_special_tokens
from python_backend.truncation import TRUNCATIONS

FILE_NAME = "tokenizer.json"
PROBE = "a"
"""A text whose pair with itself shows where the special tokens go."""


class Pair(NamedTuple):
    """A text and a hypothesis, by their indices, and the token limit of the two."""

    text: int
    hypothesis: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class TokenRows:
    """`n` pairs, padded to `s` tokens. The row of a pair that was refused has special tokens alone."""

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
    text_tokens: NDArray[np.int32]
    """`[texts]` int32: length of each text in tokens before truncation."""
    refused: Mapping[int, InvalidInput]
    """Why a pair was refused, by its index."""


class Encoded(NamedTuple):
    """A text, label or hypothesis without special tokens around it."""

    ids: NDArray[np.int64]
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

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset((*self.before, *self.between, *self.after))


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
        self._layout = layout = pair_layout(tokenizer)
        self._special_ids = [
            np.array(ids, dtype=np.int64) for ids in (layout.before, layout.between, layout.after)
        ]
        self._without_special_tokens = without_special_tokens(tokenizer, layout.special_ids)
        self._has_types = token_types > 1

    def encode(
        self,
        text: str,
        hypotheses: Sequence[str],
        max_tokens: int,
        *,
        labels: Sequence[str] | None = None,
        pad_to: int | None = None,
        as_text: bool = False,
    ) -> TokenRows:
        """Rows of `text` with each hypothesis; raises what `encode_pairs` refuses."""
        pairs = [Pair(0, index, max_tokens) for index in range(len(hypotheses))]
        rows = self.encode_pairs([text], hypotheses, pairs, labels=labels, pad_to=pad_to, as_text=as_text)
        unreadable = [str(index) for index, error in rows.refused.items() if isinstance(error, UnreadableLabel)]
        if unreadable:
            raise NothingToRead(f"labels {','.join(unreadable)}")
        for error in rows.refused.values():
            raise error
        return rows

    def encode_pairs(
        self,
        texts: Sequence[str],
        hypotheses: Sequence[str],
        pairs: Sequence[Pair],
        *,
        labels: Sequence[str] | None = None,
        pad_to: int | None = None,
        refused: Mapping[int, InvalidInput] | None = None,
        as_text: bool = False,
    ) -> TokenRows:
        """Rows of `pairs`, each truncated to its limit as the model's pipeline truncates.

        `labels` are what the hypotheses are about, where a template has more words than they. `as_text`: special
        tokens that are written in texts and hypotheses are text.

        Rows are padded to the longest, or to `pad_to` tokens. Refused is, besides what already is, a pair of more
        tokens (`PairTooLong`), and one whose text or label has none, since its answer would be about nothing
        (`NothingToRead`).
        """
        of_texts = [self._encode(text, as_text) for text in texts]
        of_hypotheses = [self._encoded_hypothesis(hypothesis, as_text) for hypothesis in hypotheses]
        of_labels = (
            of_hypotheses if labels is None else [self._encoded_hypothesis(each, as_text) for each in labels]
        )
        refused = dict(refused or {})
        layout, (before, between, after) = self._layout, self._special_ids
        special_tokens = layout.special_tokens
        # Lists, for a value of an array takes ten times as long to set.
        sides: list[NDArray[np.int64]] = []
        kept_of_texts, told, shares = [], [], []
        for row, (text_index, hypothesis_index, max_tokens) in enumerate(pairs):
            text, hypothesis = of_texts[text_index], of_hypotheses[hypothesis_index]
            label = of_labels[hypothesis_index]
            kept_text, kept_hypothesis = text_tokens, hypothesis_tokens = len(text.ids), len(hypothesis.ids)
            if row not in refused:
                if text_tokens + hypothesis_tokens + special_tokens > max_tokens:
                    room = max_tokens - special_tokens
                    kept_text, kept_hypothesis = self._truncate(text_tokens, hypothesis_tokens, room)
                length = kept_text + kept_hypothesis + special_tokens
                if not text_tokens:
                    refused[row] = NothingToRead("text")
                elif not len(label.ids):
                    refused[row] = UnreadableLabel()
                elif pad_to is not None and length > pad_to:
                    refused[row] = PairTooLong(f"a pair has {length} tokens, more than the {pad_to} of its bucket")
            if row in refused:
                kept_text, kept_hypothesis, length = 0, 0, special_tokens
            kept_of_texts.append(kept_text)
            told.append((length, text_tokens - kept_text, hypothesis_tokens - kept_hypothesis))
            shares.append((text.unknown_share, label.unknown_share))
            sides += (before, text.ids[:kept_text], between, hypothesis.ids[:kept_hypothesis], after)
        tokens, unknown = np.array(told, dtype=np.int32), np.array(shares, dtype=np.float32)
        width = pad_to or int(tokens[:, 0].max())
        positions = np.arange(width)
        is_token = positions < tokens[:, :1]
        # Padding is zeros for every model: it is masked, and comes after all tokens.
        input_ids = np.zeros((len(pairs), width), dtype=np.int64)
        input_ids[is_token] = np.concatenate(sides)
        text_ends = len(before) + np.array(kept_of_texts)
        types = np.zeros_like(input_ids)
        if self._has_types:
            types = np.where(positions < text_ends[:, np.newaxis], layout.text_type, layout.hypothesis_type)
            for offset, token_type in enumerate(layout.between_types):
                types[np.arange(len(pairs)), text_ends + offset] = token_type
            types *= is_token
        of_text = np.array([len(text.ids) for text in of_texts], dtype=np.int32)
        return TokenRows(input_ids, is_token.astype(np.int64), types, tokens, unknown, of_text, refused)

    def _encode(self, text: str, as_text: bool) -> Encoded:
        tokenizer = self._without_special_tokens if as_text else self._tokenizer
        ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)
        unknown = 0 if self._unknown is None else np.count_nonzero(ids == self._unknown)
        return Encoded(ids, unknown / len(ids) if len(ids) else 0.0)
