"""Distils a real StructBERT, instead of the stages that learn from labels.

The teacher tokenizes with its own vocabulary. Its entailment logits over a text's candidates are the target of the
ranking, and its three probabilities the target of each pair (Hinton et al. 2015, with temperature 1).
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.data.batches import LengthSortedTask, TokenBatcher, draw_task
from training.data.corpus import LabelledText
from training.data.hypotheses import ALL_LABEL_NAMES, verbalize
from training.network import ENTAILMENT
from training.stages.pairs import candidate_logits

CANDIDATES = 4
"""Hypotheses per text."""
TOKEN_BUDGET = 900
"""Text tokens of a batch."""
MAX_TEXT_TOKENS = 96
OPEN_LABEL_SHARE = 0.3
"""Share of the batches whose candidates are labels of any task, since callers' labels belong to none."""


def distillation_loss(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batcher: TokenBatcher,
    teacher_batcher: TokenBatcher,
    tasks: dict[str, LengthSortedTask],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step: ranking of the candidates, and relation of each pair, as the teacher has them.

    The data's labels are candidates only; which of them is correct is not used.
    """

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(2_000_003 * step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        rows = data.draw(rng, TOKEN_BUDGET, MAX_TEXT_TOKENS)
        examples = [data.examples[row] for row in rows]
        texts = [example.text if isinstance(example, LabelledText) else example.premise for example in examples]
        labels = [] if rng.random() < OPEN_LABEL_SHARE else data.labels
        hypotheses = [_candidates(task, labels, rng) for _ in rows]
        with torch.no_grad():
            teacher_texts = [teacher_batcher.encode_all([text])[0].tolist() for text in texts]
            targets = candidate_logits(teacher, teacher_batcher, teacher_texts, hypotheses, MAX_TEXT_TOKENS)
        student_texts = [data.tokens[row].tolist() for row in rows]
        logits = candidate_logits(student, batcher, student_texts, hypotheses, MAX_TEXT_TOKENS)
        ranking = nn.functional.cross_entropy(logits[..., ENTAILMENT], targets[..., ENTAILMENT].softmax(dim=1))
        relation = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1).softmax(dim=1))
        return ranking + relation

    return loss_of_step


def _candidates(task: str, labels: list[str], rng: random.Random) -> list[str]:
    return verbalize(task, rng.sample(labels if len(labels) >= CANDIDATES else ALL_LABEL_NAMES, CANDIDATES), rng)
