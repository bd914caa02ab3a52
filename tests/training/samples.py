"""Small tasks and untrained networks for the tests of training."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from tests.training.corpus import TOPICS, random_sentence
from training.data.batches import LengthSortedTask, TokenBatch, TokenBatcher
from training.data.corpus import Corpus, SentencePair
from training.data.vocabulary import learn_vocabulary, load_tokenizer
from training.network import build_network
from training.stages.comparison_layer import add_comparison_layer

MAX_TOKENS = 72
NO_WORDS = {"words": LengthSortedTask([], [])}
"""The task whose labels are open labels, without any."""


@dataclass(frozen=True)
class SmallTask:
    """The task tnews of the small corpus, with a tokenizer learned from the corpus."""

    batcher: TokenBatcher
    tnews: LengthSortedTask
    vocabulary: int
    """Size in tokens."""

    @property
    def rows(self) -> list[list[int]]:
        """Token ids of the texts."""
        return [tokens.tolist() for tokens in self.tnews.tokens]


def small_task(data: Path, vocabulary_file: Path) -> SmallTask:
    corpus = Corpus(data)
    learn_vocabulary(corpus.passages(), vocabulary_file)
    batcher = TokenBatcher(load_tokenizer(vocabulary_file))
    examples = corpus.tasks()["tnews"]
    tnews = LengthSortedTask(examples, batcher.encode_all([example.text for example in examples]))
    return SmallTask(batcher, tnews, batcher.tokenizer.get_vocab_size())


def small_bi_encoder(vocabulary: int, seed: int) -> BertForSequenceClassification:
    """An untrained bi-encoder with one layer and random token vectors."""
    vectors = np.random.default_rng(seed).normal(size=(vocabulary, 32)).astype(np.float32)
    return build_network(vectors, layers=1, heads=2)


def small_encoders(task: SmallTask) -> tuple[BertForSequenceClassification, BertForSequenceClassification]:
    """An untrained bi-encoder, and the cross-encoder computed from it."""
    bi_encoder = small_bi_encoder(task.vocabulary, seed=5).eval()
    hypotheses = [task.batcher.ids(random.Random(i).choice(list(TOPICS))) for i in range(len(task.rows))]
    cross_encoder = add_comparison_layer(
        bi_encoder,
        task.batcher.texts(task.rows, MAX_TOKENS),
        task.batcher.hypotheses(hypotheses, MAX_TOKENS),
        task.batcher.pairs(task.rows, hypotheses, MAX_TOKENS),
    )
    return bi_encoder, cross_encoder


def nli_task(batcher: TokenBatcher) -> LengthSortedTask:
    """Pairs of the same topic are entailments, pairs of different topics contradictions."""
    rng = random.Random(6)
    pairs = []
    for topic, other in itertools.product(TOPICS, repeat=2):
        relation, count = ("entailment", 40) if topic == other else ("contradiction", 20)
        pairs += [
            SentencePair(random_sentence(rng, topic), random_sentence(rng, other), relation) for _ in range(count)
        ]
    return LengthSortedTask(pairs, batcher.encode_all([pair.premise for pair in pairs]))


def random_pairs(seed: int) -> tuple[BertForSequenceClassification, TokenBatch, TokenBatch, TokenBatch]:
    """An untrained bi-encoder, and 200 texts, their hypotheses, and both as pairs; half of them share tokens."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 1, (400, 64)).astype(np.float32)
    network = build_network(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), layers=2).eval()
    text_ids, hypothesis_ids = (torch.from_numpy(rng.integers(5, 400, (200, n))) for n in (20, 4))
    hypothesis_ids[:100] = text_ids[:100, 3:7]
    texts = TokenBatch(text_ids, torch.zeros_like(text_ids), torch.ones_like(text_ids))
    hypotheses = TokenBatch(hypothesis_ids, torch.ones_like(hypothesis_ids), torch.ones_like(hypothesis_ids))
    pairs = TokenBatch(*(torch.cat(parts, dim=1) for parts in zip(texts, hypotheses, strict=True)))
    return network, texts, hypotheses, pairs


def state_of(network: BertForSequenceClassification) -> dict[str, Tensor]:
    """Copies of the network's weights."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def recording(loss_of_step: Callable[[int], Tensor]) -> tuple[Callable[[int], Tensor], list[float]]:
    """The same loss, and the list to which the value of each step is appended."""
    losses: list[float] = []

    def recorded(step: int) -> Tensor:
        loss = loss_of_step(step)
        losses.append(loss.item())
        return loss

    return recorded, losses


def no_log(_line: str) -> None:
    pass
