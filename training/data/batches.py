"""Encodes texts and pairs as padded token batches, and draws examples of similar length from a task."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from training.data.corpus import LabelledText, SentencePair

WINDOW_BATCHES = 12
"""A batch is sampled from the examples of similar length that would fill this many, which keeps padding small."""
MAX_CACHED_TEXTS = 200_000
MIN_EXAMPLES, MAX_EXAMPLES = 8, 96
"""Bounds of a batch, whatever its token budget."""


class TokenBatch(NamedTuple):
    """Padded token rows, `[n, s]` int64 each: ids, token types (0 text, 1 hypothesis), attention mask."""

    ids: Tensor
    types: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class SpecialIds:
    pad: int
    cls: int
    sep: int


class TokenBatcher:
    """Encodes texts and pairs as the serving tokenizer does, truncated for training."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self.special = SpecialIds(*(vocabulary[token] for token in ("[PAD]", "[CLS]", "[SEP]")))
        self._cached_ids: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Token ids of a short text; cached, since hypotheses repeat."""
        ids = self._cached_ids.get(text)
        if ids is None:
            ids = self.tokenizer.encode(text, add_special_tokens=False).ids
            if len(self._cached_ids) < MAX_CACHED_TEXTS:
                self._cached_ids[text] = ids
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.uint16]]:
        """Token ids of each text, `[s]` uint16, without special tokens."""
        return [
            np.array(encoding.ids, dtype=np.uint16)
            for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ]

    def texts(self, rows: Sequence[Sequence[int]], max_tokens: int) -> TokenBatch:
        """`[CLS] text [SEP]`, each text truncated to `max_tokens`."""
        s = self.special
        return self._pad([[s.cls, *row[:max_tokens], s.sep] for row in rows], [[] for _ in rows])

    def hypotheses(self, rows: Sequence[Sequence[int]], max_tokens: int) -> TokenBatch:
        """`hypothesis [SEP]`, each hypothesis truncated to `max_tokens`."""
        return self._pad([[] for _ in rows], [[*row[:max_tokens], self.special.sep] for row in rows])

    def pairs(
        self, premises: Sequence[Sequence[int]], hypotheses: Sequence[Sequence[int]], max_tokens: int
    ) -> TokenBatch:
        """`[CLS] premise [SEP] hypothesis [SEP]`, premise and hypothesis truncated to `max_tokens` each."""
        s = self.special
        first = [[s.cls, *row[:max_tokens], s.sep] for row in premises]
        second = [[*row[:max_tokens], s.sep] for row in hypotheses]
        return self._pad(first, second)

    def _pad(self, first: list[list[int]], second: list[list[int]]) -> TokenBatch:
        length = max(len(a) + len(b) for a, b in zip(first, second, strict=True))
        ids = np.full((len(first), length), self.special.pad, dtype=np.int64)
        types = np.zeros_like(ids)
        mask = np.zeros_like(ids)
        for row, (a, b) in enumerate(zip(first, second, strict=True)):
            n = len(a) + len(b)
            ids[row, :n] = a + b
            types[row, len(a) : n] = 1
            mask[row, :n] = 1
        return TokenBatch(to_device(ids), to_device(types), to_device(mask))


def to_device(array: NDArray[np.int64]) -> Tensor:
    """The array on the default device, copied in one transfer."""
    return torch.from_numpy(array).to(torch.get_default_device())


class LengthSortedTask:
    """The examples of a task, sorted by length so that a batch can hold examples of similar length.

    `tokens`: the token ids of each example's text or premise, `[s]` uint16. `labels` is the label set of the task,
    empty for sentence pairs.
    """

    def __init__(self, examples: Sequence[LabelledText | SentencePair], tokens: list[NDArray[np.uint16]]) -> None:
        order = sorted(range(len(examples)), key=lambda i: len(tokens[i]))
        self.examples = [examples[i] for i in order]
        self.tokens = [tokens[i] for i in order]
        self.labels = sorted({e.label for e in self.examples if isinstance(e, LabelledText)})

    def __len__(self) -> int:
        return len(self.examples)

    def draw(self, rng: random.Random, token_budget: int, max_tokens: int) -> list[int]:
        """Indices of distinct examples of similar length, as many as fit into `token_budget` (8 to 96).

        Texts count with at most `max_tokens`.
        """
        anchor = rng.randrange(len(self.examples))
        length = min(len(self.tokens[anchor]), max_tokens) + 8
        size = max(MIN_EXAMPLES, min(MAX_EXAMPLES, token_budget // length, len(self.examples)))
        low = max(0, min(anchor - size * WINDOW_BATCHES // 2, len(self.examples) - size * WINDOW_BATCHES))
        high = min(len(self.examples), low + size * WINDOW_BATCHES)
        return rng.sample(range(low, high), min(size, high - low))


def draw_task(rng: random.Random, tasks: Mapping[str, LengthSortedTask], weights: Mapping[str, float]) -> str:
    """Draw the name of a task by its weight; tasks without examples are left out."""
    names = [name for name in weights if len(tasks[name])]
    return rng.choices(names, [weights[name] for name in names])[0]
