"""Accuracy on labelled texts with the whole label set, and on everyday examples. Trains nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import BertForSequenceClassification

from training.calibration import Asked
from training.data.batches import TokenBatcher
from training.data.corpus import Labelled, SentencePair
from training.network import ENTAILMENT, RELATIONS, mean_of_tokens

LONGEST_TEXT = 200

Score = Callable[[BertForSequenceClassification, TokenBatcher, str, Sequence[str]], list[float]]
"""Scores of hypotheses for one text; the highest is the answer."""


@dataclass(frozen=True, slots=True)
class EverydayExample:
    """A text, its candidate labels, and the one that a person would pick."""

    text: str
    labels: tuple[str, ...]
    answer: str


def load_everyday_examples(path: Path) -> list[EverydayExample]:
    return [
        EverydayExample(item["text"], tuple(item["labels"]), item["answer"])
        for item in json.loads(path.read_text(encoding="utf-8"))
    ]


@torch.inference_mode()
def entailments(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    text: str,
    hypotheses: Sequence[str],
) -> list[float]:
    """Entailment logit of each hypothesis for one text."""
    ids, types, mask = batcher.pairs(
        [batcher.ids(text)] * len(hypotheses), [batcher.ids(h) for h in hypotheses], LONGEST_TEXT
    )
    logits = network(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    return [float(value) for value in logits[:, ENTAILMENT]]


@torch.inference_mode()
def matches(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    text: str,
    hypotheses: Sequence[str],
) -> list[float]:
    """Cosine of text and hypothesis: the bi-encoder's score."""
    text_vector = mean_of_tokens(network, *batcher.texts([batcher.ids(text)], LONGEST_TEXT))
    said = mean_of_tokens(network, *batcher.hypotheses([batcher.ids(h) for h in hypotheses], LONGEST_TEXT))
    return [float(value) for value in (said @ text_vector.T)[:, 0]]


def ask_all(
    score: Score,
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    examples: Sequence[Labelled],
    labels: Sequence[str],
    *,
    most: int,
    seed: int = 0,
) -> Asked:
    """Scores of all labels, bare, for at most `most` sampled examples."""
    chosen = random.Random(seed).sample(list(examples), min(most, len(examples)))
    scores = np.array([score(network, batcher, example.text, labels) for example in chosen])
    return Asked(scores, np.array([labels.index(example.label) for example in chosen]))


@torch.inference_mode()
def relation_accuracy(
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    pairs: Sequence[SentencePair],
    *,
    most: int,
    seed: int = 0,
) -> float:
    """Share of at most `most` sampled pairs whose highest of the three logits is the right one."""
    chosen = random.Random(seed).sample(list(pairs), min(most, len(pairs)))
    right = 0
    for pair in chosen:
        ids, types, mask = batcher.pairs([batcher.ids(pair.premise)], [batcher.ids(pair.hypothesis)], LONGEST_TEXT)
        logits = network(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
        right += int(logits.argmax()) == RELATIONS[pair.relation]
    return right / len(chosen)


def everyday(
    score: Score,
    network: BertForSequenceClassification,
    batcher: TokenBatcher,
    examples: Sequence[EverydayExample],
) -> list[bool]:
    outcome = []
    for example in examples:
        scores = score(network, batcher, example.text, example.labels)
        best = example.labels[max(range(len(scores)), key=scores.__getitem__)]
        outcome.append(best == example.answer)
    return outcome
