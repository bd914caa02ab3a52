"""Turns texts into padded token batches, and tasks into batches of like lengths. Knows nothing about networks."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from training.data.corpus import Labelled, SentencePair

WINDOW = 12
"""A batch is drawn from this many times its size of neighbours by length, so padding stays small."""


@dataclass(frozen=True, slots=True)
class SpecialIds:
    pad: int
    cls: int
    sep: int


class TokenBatcher:
    """Encodes texts and pairs as the serving tokenizer does, shortened for training."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self.special = SpecialIds(*(vocabulary[token] for token in ("[PAD]", "[CLS]", "[SEP]")))
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Token ids of a short text that comes again and again, such as a hypothesis."""
        found = self._known.get(text)
        if found is None:
            found = self.tokenizer.encode(text, add_special_tokens=False).ids
            if len(self._known) < 200_000:
                self._known[text] = found
        return found

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.uint16]]:
        return [
            np.array(encoding.ids, dtype=np.uint16)
            for encoding in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ]

    def texts(self, rows: Sequence[Sequence[int]], most: int) -> tuple[Tensor, Tensor, Tensor]:
        """`[CLS] text [SEP]` of at most `most` text tokens: ids, token types (0), mask, `[n, s]` int64."""
        s = self.special
        return self._pad([[s.cls, *row[:most], s.sep] for row in rows], [[] for _ in rows])

    def hypotheses(self, rows: Sequence[Sequence[int]], most: int) -> tuple[Tensor, Tensor, Tensor]:
        """`hypothesis [SEP]`: ids, token types (1), mask, `[n, s]` int64."""
        return self._pad([[] for _ in rows], [[*row[:most], self.special.sep] for row in rows])

    def pairs(
        self, premises: Sequence[Sequence[int]], hypotheses: Sequence[Sequence[int]], most: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`[CLS] premise [SEP] hypothesis [SEP]`: ids, token types, mask, `[n, s]` int64."""
        s = self.special
        first = [[s.cls, *row[:most], s.sep] for row in premises]
        second = [[*row[:most], s.sep] for row in hypotheses]
        return self._pad(first, second)

    def _pad(self, first: list[list[int]], second: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
        longest = max(len(a) + len(b) for a, b in zip(first, second, strict=True))
        ids = np.full((len(first), longest), self.special.pad, dtype=np.int64)
        types = np.zeros_like(ids)
        mask = np.zeros_like(ids)
        for row, (a, b) in enumerate(zip(first, second, strict=True)):
            n = len(a) + len(b)
            ids[row, :n] = a + b
            types[row, len(a) : n] = 1
            mask[row, :n] = 1
        return on_device(ids), on_device(types), on_device(mask)


def on_device(array: NDArray[np.int64]) -> Tensor:
    """In one transfer, where the default device is not the CPU."""
    return torch.from_numpy(array).to(torch.get_default_device())


class LengthSorted:
    """Examples of one task in order of length; a draw takes neighbours."""

    def __init__(self, examples: Sequence[Labelled | SentencePair], tokens: list[NDArray[np.uint16]]) -> None:
        order = sorted(range(len(examples)), key=lambda i: len(tokens[i]))
        self.examples = [examples[i] for i in order]
        self.tokens = [tokens[i] for i in order]
        self.labels = sorted({e.label for e in self.examples if isinstance(e, Labelled)})

    def __len__(self) -> int:
        return len(self.examples)

    def draw(self, rng: random.Random, token_budget: int, longest: int) -> list[int]:
        """Indices of distinct neighbours by length, as many as `token_budget` pays for (8 to 96)."""
        anchor = rng.randrange(len(self.examples))
        length = min(len(self.tokens[anchor]), longest) + 8
        size = max(8, min(96, token_budget // length, len(self.examples)))
        low = max(0, min(anchor - size * WINDOW // 2, len(self.examples) - size * WINDOW))
        high = min(len(self.examples), low + size * WINDOW)
        return rng.sample(range(low, high), min(size, high - low))


def draw_task(rng: random.Random, tasks: Mapping[str, LengthSorted], weights: Mapping[str, float]) -> str:
    """The name of a task that has examples, by weight."""
    names = [name for name in weights if len(tasks[name])]
    return rng.choices(names, [weights[name] for name in names])[0]
