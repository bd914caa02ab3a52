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
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFC, NFD, BertNormalizer, Lowercase, Normalizer, StripAccents
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import BertPreTokenizer

from python_backend.errors import EngineError, NothingToRead, PairTooLong
from python_backend.truncation import PAIR_SPECIAL_TOKENS, truncate_longest_first

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_CHARACTERS_PER_WORD = 100
"""Longer words become `[UNK]`, as in BERT's WordPiece tokenizer."""


@dataclass(frozen=True, slots=True)
class TokenRows:
    """One text with each of its hypotheses: `n` pairs, padded to `s` tokens."""

    input_ids: NDArray[np.int64]
    """`[n, s]` int64, padded with the id of `[PAD]`."""
    attention_mask: NDArray[np.int64]
    """`[n, s]` int64: 1 for tokens, 0 for padding."""
    token_type_ids: NDArray[np.int64]
    """`[n, s]` int64: 1 for the hypothesis and its `[SEP]`, 0 elsewhere."""
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


def load_tokenizer(folder: Path) -> Tokenizer:
    """A fast tokenizer with the results of transformers' slow `BertTokenizer`.

    Reads `vocab.txt` and `tokenizer_config.json` in `folder`; an `EngineError` names a file that is missing or
    invalid. The slow tokenizer applies NFC before it splits at white space and lower-cases, which `BertNormalizer`
    does not.
    """
    path = folder / "vocab.txt"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise EngineError(f"{path} is missing: the engine folder needs a vocabulary") from None
    if lines and lines[-1] == "":
        lines.pop()
    vocabulary = {token: row for row, token in enumerate(lines)}
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise EngineError(f"{path} lacks {', '.join(missing)}")
    options = {"do_lower_case": True} | _tokenizer_config(folder)
    strip_accents = options.get("strip_accents")
    if strip_accents is None:
        strip_accents = options["do_lower_case"]
    normalizers: list[Normalizer] = [
        BertNormalizer(
            clean_text=True,
            handle_chinese_chars=bool(options.get("tokenize_chinese_chars", True)),
            strip_accents=False,
            lowercase=False,
        ),
        NFC(),
    ]
    if options["do_lower_case"]:
        normalizers.append(Lowercase())
    if strip_accents:
        normalizers += [NFD(), StripAccents()]
    tokenizer = Tokenizer(
        WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=MAX_CHARACTERS_PER_WORD)
    )
    tokenizer.normalizer = NormalizerSequence(normalizers)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


class PairEncoder:
    """Encodes pairs and caches the tokens of hypotheses, since callers send the same labels again.

    The cache holds the `cached_hypotheses` most recently used hypotheses.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int, cached_hypotheses: int) -> None:
        self.max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._encoded_hypothesis = lru_cache(maxsize=cached_hypotheses)(self._encode)
        self._pad, self._unknown, self._cls, self._sep = (
            tokenizer.token_to_id(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
        )

    def encode(
        self,
        text: str,
        hypotheses: Sequence[str],
        max_tokens: int,
        *,
        labels: Sequence[str] | None = None,
        pad_to: int | None = None,
    ) -> TokenRows:
        """Rows of `text` with each hypothesis, truncated to `max_tokens` as ModelScope truncates.

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
        kept = [truncate_longest_first(len(text_ids), len(ids), max_tokens) for ids in hypothesis_ids]
        lengths = [k.text + k.hypothesis + PAIR_SPECIAL_TOKENS for k in kept]
        if pad_to is not None and max(lengths) > pad_to:
            raise PairTooLong(f"a pair has {max(lengths)} tokens, more than the {pad_to} of its bucket")
        shape = (len(hypotheses), pad_to or max(lengths))
        input_ids = np.full(shape, self._pad, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        tokens = np.empty((len(hypotheses), 3), dtype=np.int32)
        for row, (ids, keep, length) in enumerate(zip(hypothesis_ids, kept, lengths, strict=True)):
            input_ids[row, :length] = [
                self._cls,
                *text_ids[: keep.text],
                self._sep,
                *ids[: keep.hypothesis],
                self._sep,
            ]
            mask[row, :length] = 1
            types[row, keep.text + 2 : length] = 1
            tokens[row] = (length, len(text_ids) - keep.text, len(ids) - keep.hypothesis)
        unknown = np.array([(text_unknown, label.unknown_share) for label in of_labels], dtype=np.float32)
        return TokenRows(input_ids, mask, types, tokens, unknown, len(text_ids))

    def _encode(self, text: str) -> Encoded:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        unknown = sum(token == self._unknown for token in ids)
        return Encoded(ids, unknown / len(ids) if ids else 0.0)


def _tokenizer_config(folder: Path) -> dict[str, object]:
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EngineError(f"{path} is not JSON: {error}") from None
    if not isinstance(options, dict):
        raise EngineError(f"{path} is not a JSON object")
    return options
