"""Stage 2: the upper layer learns to correct the cosine, on grids that pair each text with each hypothesis.

In the lower layers tokens attend to their own segment, so the states of n texts and m hypotheses, each read alone,
are those of all n·m pairs, and of the upper layer only the first token is needed. So a grid of thousands of pairs
costs less than a hundred pairs read one by one. The bi-encoder of stage 1 is the teacher: its probabilities soften
the targets, and are the only targets for labels that no task has. How one sentence follows from another is learned
from pairs.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.split_bert import SplitBertForSequenceClassification, mean_direction
from training.data.batches import LengthSortedTask, TokenBatch, TokenBatcher, draw_task
from training.data.corpus import SentencePair
from training.network import ENTAILMENT, SIMILARITY_SCALE, frozen_copy, segment_vectors
from training.stages.bi_encoder import MAX_TEXT_TOKENS, NLI_TASK, sample_hypotheses
from training.stages.open_labels import divergence, open_label_pools
from training.stages.pairs import margin_loss, ranking_loss, relation_loss

TEXT_TOKENS = 2_600
"""Text tokens of a grid."""
PAIR_TOKENS = 2_600
"""Premise tokens of a batch of NLI pairs."""
MAX_LABELS = 32
"""Labels of the texts' task in a grid; more if the texts have more."""
OPEN_LABELS = 40
"""Open labels of a grid, in addition to the labels of its task."""
TAUGHT_SHARE = 0.5
"""Weight of the teacher's probabilities in the target; the rest is the label."""
MARGIN_WEIGHT = 0.5
IMITATION_WEIGHT = 0.5
"""Weights of the margin loss, and of the difference from the teacher on open labels; the ranking loss has 1."""
SQUARED_ERROR_WEIGHT = 0.05
"""Weight of the squared error in that difference; the divergence has 1."""


def grid_loss(
    network: SplitBertForSequenceClassification,
    batcher: TokenBatcher,
    tasks: dict[str, LengthSortedTask],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: ranking, margin and imitation of the teacher on a grid, or relations of NLI pairs.

    `network` is the bi-encoder of stage 1, of which a copy is the teacher.
    """
    teacher = frozen_copy(network)
    pools = open_label_pools(tasks, OPEN_LABELS)

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(3_000_017 * (step + 1))
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        if task == NLI_TASK:
            rows = data.draw(rng, PAIR_TOKENS, MAX_TEXT_TOKENS)
            return relation_loss(network, batcher, data, rows, MAX_TEXT_TOKENS)
        rows = data.draw(rng, TEXT_TOKENS, MAX_TEXT_TOKENS)
        texts = batcher.texts([data.tokens[i].tolist() for i in rows], MAX_TEXT_TOKENS)
        task_hypotheses, correct = _task_hypotheses(task, data, rows, rng)
        open_hypotheses = rng.sample(rng.choice(pools), OPEN_LABELS) if data.labels else []
        hypothesis_ids = [batcher.ids(hypothesis) for hypothesis in task_hypotheses + open_hypotheses]
        hypotheses = batcher.hypotheses(hypothesis_ids, MAX_TEXT_TOKENS)
        logits = grid_logits(network, texts, hypotheses).float()
        with torch.no_grad():
            cosines = segment_vectors(teacher, texts) @ segment_vectors(teacher, hypotheses).T
        teacher_scores = SIMILARITY_SCALE * cosines
        count = len(task_hypotheses)
        targets = nn.functional.one_hot(torch.tensor(correct), count).float()
        taught = teacher_scores[:, :count].softmax(dim=1)
        loss = ranking_loss(logits[:, :count], targets, taught, TAUGHT_SHARE)
        loss = loss + MARGIN_WEIGHT * margin_loss(logits[:, :count], targets)
        if open_hypotheses:
            loss = loss + IMITATION_WEIGHT * _imitation_loss(logits[..., ENTAILMENT], teacher_scores)
        return loss

    return loss_of_step


def _task_hypotheses(
    task: str, data: LengthSortedTask, rows: list[int], rng: random.Random
) -> tuple[list[str], list[int]]:
    """Hypotheses of a grid for labels or partners of the texts; for each text the index of the correct one."""
    partners = [example.hypothesis for i in rows if isinstance(example := data.examples[i], SentencePair)]
    if partners:
        return partners, list(range(len(partners)))
    return sample_hypotheses(task, data, rows, MAX_LABELS, rng)


def grid_logits(network: SplitBertForSequenceClassification, texts: TokenBatch, hypotheses: TokenBatch) -> Tensor:
    """Logits `[n, m, 3]` of n texts with m hypotheses, as the network has them for each pair."""
    layer = network.bert.encoder.layer[-1]
    attention, output = layer.attention.self, layer.attention.output
    text_states, hypothesis_states = (network.segment_states(b.ids, b.mask, b.types) for b in (texts, hypotheses))
    text_means, hypothesis_means = (
        mean_direction(states.float(), batch.mask)
        for states, batch in ((text_states, texts), (hypothesis_states, hypotheses))
    )
    cosines = (text_means @ hypothesis_means.T).unsqueeze(-1)
    hypothesis_states = hypothesis_states + network.segment
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
    logits: Tensor = network.similarity(cosines) + network.classifier(pooler.activation(pooler.dense(states)))
    return logits


def _split_heads(attention: nn.Module, vectors: Tensor) -> Tensor:
    """`[..., hidden]` to `[..., heads, head size]`."""
    return vectors.unflatten(-1, (attention.num_attention_heads, attention.attention_head_size))


def _imitation_loss(scores: Tensor, teacher_scores: Tensor) -> Tensor:
    """Divergence of the distributions over hypotheses, and squared error of the centred scores.

    `scores` and `teacher_scores` are `[texts, hypotheses]`.
    """
    centred = [values - values.mean(1, keepdim=True) for values in (scores, teacher_scores)]
    return divergence(scores, teacher_scores) + SQUARED_ERROR_WEIGHT * nn.functional.mse_loss(*centred)
