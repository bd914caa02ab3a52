"""Stage one, bi-encoder: a text's vector lies near its label's. Teaches meaning fast; no pair is read together."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.data.batches import LengthSorted, TokenBatcher, draw_task
from training.data.corpus import Labelled, SentencePair
from training.data.hypotheses import say
from training.network import RELATIONS, mean_of_tokens

SCALE = 20.0
"""Cosines are spread by this factor before the softmax (a temperature of 0.05)."""
TOKEN_BUDGET = 2_600
LONGEST_TEXT = 72
MOST_LABELS = 32
INFERENCE = "nli"
"""The task whose pairs are told apart by what a layer of this stage makes of both vectors."""


def add_inference(network: BertForSequenceClassification) -> None:
    """What says of two vectors how one follows from the other, three logits; of this stage alone.

    It sees both vectors, their difference and their product (Conneau et al. 2017, InferSent); so the vectors learn
    to say what inference needs.
    """
    hidden = network.config.hidden_size
    network.inference = nn.Sequential(nn.Linear(4 * hidden, hidden), nn.GELU(), nn.Linear(hidden, len(RELATIONS)))


def match_loss(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSorted],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: cross-entropy of texts over labels, of sentences over partners, or of inference."""

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        rows = data.draw(rng, TOKEN_BUDGET, LONGEST_TEXT)
        if isinstance(data.examples[0], SentencePair):
            return (_relations if task == INFERENCE else _partners)(network, batcher, data, rows)
        return _labels(network, batcher, task, data, rows, rng)

    return loss_of_step


def _partners(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    data: LengthSorted,
    rows: list[int],
) -> Tensor:
    first, second, _ = _both(network, batcher, data, rows)
    scores = SCALE * first @ second.T
    target = torch.arange(len(rows))
    return (nn.functional.cross_entropy(scores, target) + nn.functional.cross_entropy(scores.T, target)) / 2


def _relations(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    data: LengthSorted,
    rows: list[int],
) -> Tensor:
    first, second, relations = _both(network, batcher, data, rows)
    # Numbers near 1 for the layer, as the vectors are of length 1.
    size = network.config.hidden_size
    seen = [first * size**0.5, second * size**0.5, (first - second).abs() * size**0.5, first * second * size]
    logits = network.inference(torch.cat(seen, dim=1))
    return nn.functional.cross_entropy(logits, torch.tensor([RELATIONS[relation] for relation in relations]))


def _both(
    network: BertForSequenceClassification, batcher: TokenBatcher, data: LengthSorted, rows: list[int]
) -> tuple[Tensor, Tensor, list[str]]:
    """Vectors of the first and of the second sentences, and their relations."""
    pairs = [pair for i in rows if isinstance(pair := data.examples[i], SentencePair)]
    first = batcher.texts([data.tokens[i].tolist() for i in rows], LONGEST_TEXT)
    second = batcher.hypotheses([batcher.ids(pair.hypothesis) for pair in pairs], LONGEST_TEXT)
    return mean_of_tokens(network, *first), mean_of_tokens(network, *second), [pair.relation for pair in pairs]


def _labels(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    task: str,
    data: LengthSorted,
    rows: list[int],
    rng: random.Random,
) -> Tensor:
    said, right = ask_labels(task, data, rows, MOST_LABELS, rng)
    texts = mean_of_tokens(network, *batcher.texts([data.tokens[i].tolist() for i in rows], LONGEST_TEXT))
    hypotheses = batcher.hypotheses([batcher.ids(h) for h in said], LONGEST_TEXT)
    return nn.functional.cross_entropy(SCALE * texts @ mean_of_tokens(network, *hypotheses).T, torch.tensor(right))


def ask_labels(
    task: str, data: LengthSorted, rows: list[int], most: int, rng: random.Random
) -> tuple[list[str], list[int]]:
    """Hypotheses of all labels of `rows`, and of others up to `most` in all; which one is right for each row."""
    wanted = [example.label for i in rows if isinstance(example := data.examples[i], Labelled)]
    labels = sorted(set(wanted))
    others = rng.sample(data.labels, min(len(data.labels), most))
    labels += [label for label in others if label not in wanted][: max(0, most - len(labels))]
    return say(task, labels, rng), [labels.index(label) for label in wanted]
