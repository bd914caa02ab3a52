"""Between the stages, after compare.py: many texts with many hypotheses at once, none of them read as a pair.

The layers below the last keep to their segments, so the states of n texts and m hypotheses, each read alone, are
those of all n·m pairs; and of the last layer nothing counts but the first token's row. A grid of thousands of
pairs costs less than a hundred pairs that are read one by one. First the computed layer alone learns to say what
the bi-encoder says, then all layers learn which of a task's labels is right. What the bi-encoder's vectors know of
inference is learned from pairs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.data.batches import LengthSorted, TokenBatcher, draw_task
from training.data.corpus import SentencePair
from training.network import ENTAILMENT, Rows, states_of
from training.stages.bi_encoder import INFERENCE, LONGEST_TEXT, ask_labels
from training.stages.cross_encoder import (
    MARGIN_WEIGHT,
    Teacher,
    margin_loss,
    ranking_loss,
    relations_loss,
    strangers,
)

STRANGERS = 40
"""Hypotheses of a grid beside the labels of its texts' task: names and words of anywhere."""
SQUARES_WEIGHT = 0.05
"""Of the squared difference of scores, beside the divergence from what the teacher thinks."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a step on a grid reads and what counts in it."""

    text_tokens: int
    """Of the texts of a grid."""
    pair_tokens: int
    """Of sentences that are read as pairs."""
    most_labels: int
    """Of the texts' task; more if its texts have more."""
    likeness: float
    """Weight of what the teacher thinks of all hypotheses."""
    ranking: float
    """Weight of which label of the task is right, or which sentence of the batch is the other half."""
    seed: int


IMITATE = Lesson(text_tokens=2_000, pair_tokens=5_000, most_labels=24, likeness=1.0, ranking=0.0, seed=2_000_003)
RANK = Lesson(text_tokens=2_600, pair_tokens=2_600, most_labels=32, likeness=0.5, ranking=1.0, seed=3_000_017)


@contextmanager
def last_layer_alone(network: BertForSequenceClassification) -> Iterator[None]:
    """No gradient reaches what lies below the last layer."""
    network.requires_grad_(False)
    for part in (network.bert.encoder.layer[-1], network.bert.pooler, network.classifier):
        part.requires_grad_(True)
    try:
        yield
    finally:
        network.requires_grad_(True)


def grid_loss(
    lesson: Lesson,
    network: BertForSequenceClassification,
    teacher: Teacher,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSorted],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: what is right among what is asked, and what the teacher thinks of names of anywhere.

    Or how one sentence follows from another.
    """
    pools = strangers(tasks, STRANGERS)

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(lesson.seed * step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        if task == INFERENCE:
            rows = data.draw(rng, lesson.pair_tokens, LONGEST_TEXT)
            return relations_loss(network, batcher, data, rows, LONGEST_TEXT)
        rows = data.draw(rng, lesson.text_tokens, LONGEST_TEXT)
        texts = [data.tokens[i].tolist() for i in rows]
        said, right = _asked(task, data, rows, lesson.most_labels, rng)
        others = rng.sample(rng.choice(pools), STRANGERS) if data.labels else []
        hypotheses = batcher.hypotheses([batcher.ids(h) for h in said + others], LONGEST_TEXT)
        logits = grid_logits(network, batcher.texts(texts, LONGEST_TEXT), hypotheses).float()
        opinion = teacher.scores(teacher.vectors(texts), said + others)
        truth = nn.functional.one_hot(torch.tensor(right), len(said)).float()
        own, thought = logits[:, : len(said)], opinion[:, : len(said)].softmax(dim=1)
        loss = lesson.ranking * ranking_loss(own, truth, thought) + MARGIN_WEIGHT * margin_loss(own, truth)
        if others:
            loss = loss + lesson.likeness * _as_taught(logits[..., ENTAILMENT], opinion)
        return loss

    return loss_of_step


def _asked(
    task: str, data: LengthSorted, rows: list[int], most: int, rng: random.Random
) -> tuple[list[str], list[int]]:
    """Hypotheses of a grid, and which of them is right for each text: a label, or the other half of a pair."""
    halves = [example.hypothesis for i in rows if isinstance(example := data.examples[i], SentencePair)]
    return (halves, list(range(len(halves)))) if halves else ask_labels(task, data, rows, most, rng)


def grid_logits(network: BertForSequenceClassification, texts: Rows, said: Rows) -> Tensor:
    """Logits `[n, m, 3]` of each of n texts with each of m hypotheses, as behind the longest text."""
    layer = network.bert.encoder.layer[-1]
    attention, output = layer.attention.self, layer.attention.output
    behind = texts[0].shape[1]
    of_texts, of_said = (states_of(network, rows, behind)[-2] for rows in (texts, said))
    first = of_texts[:, 0]
    query = _by_head(attention, attention.query(first)) / attention.attention_head_size**0.5
    keys = [_by_head(attention, attention.key(states)) for states in (of_texts, of_said)]
    values = [_by_head(attention, attention.value(states)) for states in (of_texts, of_said)]
    own = torch.einsum("nhw,nshw->nhs", query, keys[0]).masked_fill(texts[2][:, None] == 0, -torch.inf)
    other = torch.einsum("nhw,mthw->nmht", query, keys[1]).masked_fill(said[2][:, None] == 0, -torch.inf)
    from_own = torch.einsum("nhs,nshw->nhw", own.softmax(-1), values[0])
    from_other = torch.einsum("nmht,mthw->nmhw", other.softmax(-1), values[1])
    # One softmax over both segments is the two apart, weighed by their sums of exponentials.
    share = torch.sigmoid(own.logsumexp(-1)[:, None] - other.logsumexp(-1)).unsqueeze(-1)
    context = torch.lerp(from_other, from_own[:, None], share).flatten(-2)
    states = output.LayerNorm(output.dense(context) + first[:, None])
    units = layer.intermediate(states)
    states = layer.output.LayerNorm(layer.output.dense(units) + states)
    pooler = network.bert.pooler
    logits: Tensor = network.classifier(pooler.activation(pooler.dense(states)))
    return logits


def _by_head(attention: nn.Module, vectors: Tensor) -> Tensor:
    return vectors.unflatten(-1, (attention.num_attention_heads, attention.attention_head_size))


def _as_taught(scores: Tensor, opinion: Tensor) -> Tensor:
    """`[n, m]` both: divergence of the two distributions over m, and distance of the two around their means."""
    divergence = nn.functional.kl_div(
        scores.log_softmax(1), opinion.log_softmax(1), log_target=True, reduction="batchmean"
    )
    centred = [each - each.mean(1, keepdim=True) for each in (scores, opinion)]
    return divergence + SQUARES_WEIGHT * nn.functional.mse_loss(*centred)
