"""Between the stages, after compare.py: the computed layer learns to say what the bi-encoder says.

The layers below keep to their segments, so the states of n texts and m hypotheses, each read alone, are those of
all n·m pairs; and of the last layer nothing counts but the first token's row. A grid of thousands of pairs costs
less than a hundred pairs that are read one by one, and the layers below stay as they are. What the bi-encoder's
vectors know of inference it learns from pairs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from engine.training.batches import LengthSorted, TokenBatcher, draw_task
from engine.training.corpus import Labelled, SentencePair
from engine.training.entail import Teacher, margin_loss, relations_loss, strangers
from engine.training.hypotheses import say
from engine.training.match import LONGEST_TEXT, draw_labels
from engine.training.network import ENTAILMENT, Rows, states_of

TOKEN_BUDGET, PAIRS_BUDGET = 2_000, 5_000
"""Tokens of the texts of a grid, and of sentences that are read as pairs."""
MOST_LABELS, STRANGERS = 24, 40
"""Hypotheses of a grid: labels of the texts' task (all that its texts have), names and words of anywhere."""
SQUARES_WEIGHT, LABELS_WEIGHT = 0.05, 0.5
"""Of the squared difference of scores, and of the labels, beside the divergence from what the teacher thinks."""


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


def imitate_loss(
    network: BertForSequenceClassification,
    teacher: Teacher,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSorted],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: what the teacher thinks of texts and many hypotheses, and which labels are right.

    Or how one sentence follows from another.
    """
    pools = strangers(tasks, STRANGERS)

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(2_000_003 * step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        if isinstance(data.examples[0], SentencePair):
            rows = data.draw(rng, PAIRS_BUDGET, LONGEST_TEXT)
            return relations_loss(network, batcher, data, rows, LONGEST_TEXT)
        rows = data.draw(rng, TOKEN_BUDGET, LONGEST_TEXT)
        texts = [data.tokens[i].tolist() for i in rows]
        wanted = [example.label for i in rows if isinstance(example := data.examples[i], Labelled)]
        labels = draw_labels(data, wanted, MOST_LABELS, rng)
        said = say(task, labels, rng) + rng.sample(rng.choice(pools), STRANGERS)
        hypotheses = batcher.hypotheses([batcher.ids(h) for h in said], LONGEST_TEXT)
        logits = grid_logits(network, batcher.texts(texts, LONGEST_TEXT), hypotheses)
        truth = torch.zeros(len(texts), len(labels))
        truth[torch.arange(len(texts)), torch.tensor([labels.index(label) for label in wanted])] = 1.0
        opinion = teacher.scores(teacher.vectors(texts), said)
        return _as_taught(logits[..., ENTAILMENT], opinion) + LABELS_WEIGHT * margin_loss(
            logits[:, : len(labels)], truth
        )

    return loss_of_step


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
