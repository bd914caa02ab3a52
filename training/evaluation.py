"""Measures accuracy on labelled texts with the whole label set, on NLI pairs, and on hand-written examples."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.split_bert import SplitBertForSequenceClassification
from training.calibration import TaskScores
from training.data.batches import TokenBatcher
from training.data.corpus import LabelledText, SentencePair
from training.network import ENTAILMENT, RELATIONS, segment_vectors

MAX_TEXT_TOKENS = 200

ScoreHypotheses = Callable[[SplitBertForSequenceClassification, TokenBatcher, str, Sequence[str]], list[float]]
"""Scores a text's hypotheses; the highest score is the answer."""


@dataclass(frozen=True, slots=True)
class HandWrittenExample:
    """A text, its candidate labels, and the correct one."""

    text: str
    labels: tuple[str, ...]
    answer: str


def load_examples(path: Path) -> list[HandWrittenExample]:
    """Read a JSON list of objects with `text`, `labels` and `answer`."""
    return [
        HandWrittenExample(item["text"], tuple(item["labels"]), item["answer"])
        for item in json.loads(path.read_text(encoding="utf-8"))
    ]


@torch.inference_mode()
def entailment_logits(
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    text: str,
    hypotheses: Sequence[str],
) -> list[float]:
    """The entailment logit of each hypothesis: the scores of the cross-encoder."""
    batch = batcher.pairs(
        [batcher.ids(text)] * len(hypotheses), [batcher.ids(h) for h in hypotheses], MAX_TEXT_TOKENS
    )
    logits = network(input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.mask).logits
    return [float(value) for value in logits[:, ENTAILMENT]]


@torch.inference_mode()
def cosine_similarities(
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    text: str,
    hypotheses: Sequence[str],
) -> list[float]:
    """The cosine of the text with each hypothesis: the scores of the bi-encoder."""
    text_vector = segment_vectors(network, batcher.texts([batcher.ids(text)], MAX_TEXT_TOKENS))
    hypothesis_batch = batcher.hypotheses([batcher.ids(h) for h in hypotheses], MAX_TEXT_TOKENS)
    return [float(value) for value in (segment_vectors(network, hypothesis_batch) @ text_vector.T)[:, 0]]


def score_task(
    score: ScoreHypotheses,
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    examples: Sequence[LabelledText],
    labels: Sequence[str],
    *,
    max_texts: int,
    seed: int = 0,
) -> TaskScores:
    """Scores of all `labels`, as hypotheses without a template, for a sample of at most `max_texts` examples."""
    sample = random.Random(seed).sample(list(examples), min(max_texts, len(examples)))
    scores = np.array([score(network, batcher, example.text, labels) for example in sample])
    return TaskScores(scores, np.array([labels.index(example.label) for example in sample]))


@torch.inference_mode()
def relation_accuracy(
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    pairs: Sequence[SentencePair],
    *,
    max_pairs: int,
    seed: int = 0,
) -> float:
    """Share of a sample of at most `max_pairs` whose correct relation has the highest logit."""
    sample = random.Random(seed).sample(list(pairs), min(max_pairs, len(pairs)))
    correct = 0
    for pair in sample:
        batch = batcher.pairs([batcher.ids(pair.premise)], [batcher.ids(pair.hypothesis)], MAX_TEXT_TOKENS)
        logits = network(input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.mask).logits
        correct += int(logits.argmax()) == RELATIONS[pair.relation]
    return correct / len(sample)


def answers_correct(
    score: ScoreHypotheses,
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    examples: Sequence[HandWrittenExample],
) -> list[bool]:
    """For each example, whether the label with the highest score is the correct one."""
    correct = []
    for example in examples:
        scores = score(network, batcher, example.text, example.labels)
        best = example.labels[max(range(len(scores)), key=scores.__getitem__)]
        correct.append(best == example.answer)
    return correct
