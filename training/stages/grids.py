"""Stages between bi-encoder and cross-encoder: trains on grids, in which each text is paired with each hypothesis.

In all layers but the last, tokens attend to their own segment, so the states of n texts and m hypotheses, each
read alone, are those of all n·m pairs. Of the last layer only the first token is needed. So a grid of thousands of
pairs costs less than a hundred pairs read one by one. First the comparison layer alone learns to reproduce
the scores of the bi-encoder (`IMITATE`), then all layers learn which of a task's labels is correct (`RANK`). NLI
relations are learned from pairs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.data.batches import LengthSortedTask, TokenBatch, TokenBatcher, draw_task
from training.data.corpus import SentencePair
from training.network import ENTAILMENT, hidden_states
from training.stages.bi_encoder import MAX_TEXT_TOKENS, NLI_TASK, sample_hypotheses
from training.stages.cross_encoder import (
    MARGIN_WEIGHT,
    Teacher,
    margin_loss,
    open_label_pools,
    ranking_loss,
    relation_loss,
)

OPEN_LABELS = 40
"""Open labels of a grid, in addition to the labels of its task."""
SQUARED_ERROR_WEIGHT = 0.05
"""Weight of the squared error in the imitation loss; the divergence has 1."""


@dataclass(frozen=True, slots=True)
class GridObjective:
    """Size of the steps on grids, and the weights of their losses; the margin loss always has `MARGIN_WEIGHT`."""

    text_tokens: int
    """Text tokens of a grid."""
    pair_tokens: int
    """Premise tokens of a batch of NLI pairs."""
    max_labels: int
    """Labels of the texts' task in a grid; more if the texts have more."""
    imitation_weight: float
    """Weight of the difference from the teacher's scores of all hypotheses."""
    ranking_weight: float
    """Weight of the cross-entropy over the labels of the task, or over the sentences of the batch."""
    seed: int


IMITATE = GridObjective(
    text_tokens=2_000, pair_tokens=5_000, max_labels=24, imitation_weight=1.0, ranking_weight=0.0, seed=2_000_003
)
RANK = GridObjective(
    text_tokens=2_600, pair_tokens=2_600, max_labels=32, imitation_weight=0.5, ranking_weight=1.0, seed=3_000_017
)


@contextmanager
def last_layer_only(network: BertForSequenceClassification) -> Iterator[None]:
    """Within the block, only the last layer, the pooler and the classifier are trained."""
    network.requires_grad_(False)
    for module in (network.bert.encoder.layer[-1], network.bert.pooler, network.classifier):
        module.requires_grad_(True)
    try:
        yield
    finally:
        network.requires_grad_(True)


def grid_loss(
    objective: GridObjective,
    network: BertForSequenceClassification,
    teacher: Teacher,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSortedTask],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: ranking, margin and imitation of the teacher on a grid, or relations of NLI pairs."""
    pools = open_label_pools(tasks, OPEN_LABELS)

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(objective.seed * step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        if task == NLI_TASK:
            rows = data.draw(rng, objective.pair_tokens, MAX_TEXT_TOKENS)
            return relation_loss(network, batcher, data, rows, MAX_TEXT_TOKENS)
        rows = data.draw(rng, objective.text_tokens, MAX_TEXT_TOKENS)
        texts = [data.tokens[i].tolist() for i in rows]
        task_hypotheses, correct = _task_hypotheses(task, data, rows, objective.max_labels, rng)
        open_hypotheses = rng.sample(rng.choice(pools), OPEN_LABELS) if data.labels else []
        hypotheses = task_hypotheses + open_hypotheses
        hypothesis_batch = batcher.hypotheses([batcher.ids(h) for h in hypotheses], MAX_TEXT_TOKENS)
        logits = grid_logits(network, batcher.texts(texts, MAX_TEXT_TOKENS), hypothesis_batch).float()
        teacher_scores = teacher.scores(teacher.encode_texts(texts), hypotheses)
        targets = nn.functional.one_hot(torch.tensor(correct), len(task_hypotheses)).float()
        task_logits = logits[:, : len(task_hypotheses)]
        teacher_probabilities = teacher_scores[:, : len(task_hypotheses)].softmax(dim=1)
        ranking = ranking_loss(task_logits, targets, teacher_probabilities)
        loss = objective.ranking_weight * ranking + MARGIN_WEIGHT * margin_loss(task_logits, targets)
        if open_hypotheses:
            loss = loss + objective.imitation_weight * _imitation_loss(logits[..., ENTAILMENT], teacher_scores)
        return loss

    return loss_of_step


def _task_hypotheses(
    task: str, data: LengthSortedTask, rows: list[int], max_labels: int, rng: random.Random
) -> tuple[list[str], list[int]]:
    """Hypotheses of a grid for labels or partners of the texts; for each text the index of the correct one."""
    partners = [example.hypothesis for i in rows if isinstance(example := data.examples[i], SentencePair)]
    if partners:
        return partners, list(range(len(partners)))
    return sample_hypotheses(task, data, rows, max_labels, rng)


def grid_logits(network: BertForSequenceClassification, texts: TokenBatch, hypotheses: TokenBatch) -> Tensor:
    """Logits `[n, m, 3]` of n texts with m hypotheses, as if each hypothesis came after the longest text."""
    layer = network.bert.encoder.layer[-1]
    attention, output = layer.attention.self, layer.attention.output
    offset = texts.ids.shape[1]
    text_states, hypothesis_states = (hidden_states(network, batch, offset)[-2] for batch in (texts, hypotheses))
    first_token = text_states[:, 0]
    query = _split_heads(attention, attention.query(first_token)) / attention.attention_head_size**0.5
    text_keys, hypothesis_keys = (
        _split_heads(attention, attention.key(states)) for states in (text_states, hypothesis_states)
    )
    text_values, hypothesis_values = (
        _split_heads(attention, attention.value(states)) for states in (text_states, hypothesis_states)
    )
    text_scores = torch.einsum("nhw,nshw->nhs", query, text_keys)
    text_scores = text_scores.masked_fill(texts.mask[:, None] == 0, -torch.inf)
    hypothesis_scores = torch.einsum("nhw,mthw->nmht", query, hypothesis_keys)
    hypothesis_scores = hypothesis_scores.masked_fill(hypotheses.mask[:, None] == 0, -torch.inf)
    text_context = torch.einsum("nhs,nshw->nhw", text_scores.softmax(-1), text_values)
    hypothesis_context = torch.einsum("nmht,mthw->nmhw", hypothesis_scores.softmax(-1), hypothesis_values)
    # The softmax over both segments is the average of their own, weighted by their sums of exponentials.
    log_odds = text_scores.logsumexp(-1)[:, None] - hypothesis_scores.logsumexp(-1)
    text_share = torch.sigmoid(log_odds).unsqueeze(-1)
    context = torch.lerp(hypothesis_context, text_context[:, None], text_share).flatten(-2)
    states = output.LayerNorm(output.dense(context) + first_token[:, None])
    units = layer.intermediate(states)
    states = layer.output.LayerNorm(layer.output.dense(units) + states)
    pooler = network.bert.pooler
    logits: Tensor = network.classifier(pooler.activation(pooler.dense(states)))
    return logits


def _split_heads(attention: nn.Module, vectors: Tensor) -> Tensor:
    """`[..., hidden]` to `[..., heads, head size]`."""
    return vectors.unflatten(-1, (attention.num_attention_heads, attention.attention_head_size))


def _imitation_loss(scores: Tensor, teacher_scores: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the distributions over hypotheses, and squared error of the centred scores.

    `scores` and `teacher_scores` are `[texts, hypotheses]`.
    """
    divergence = nn.functional.kl_div(
        scores.log_softmax(1), teacher_scores.log_softmax(1), log_target=True, reduction="batchmean"
    )
    centred = [values - values.mean(1, keepdim=True) for values in (scores, teacher_scores)]
    return divergence + SQUARED_ERROR_WEIGHT * nn.functional.mse_loss(*centred)
