"""A small model of one's own: the student learns what a real StructBERT says of texts and candidates, unlabelled.

The teacher reads with its own vocabulary. Its entailment logits over a text's candidates are the target of a
ranking, and its three probabilities the target for each pair (Hinton et al. 2015, at temperature 1).
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.data.batches import LengthSorted, TokenBatcher, draw_task
from training.data.corpus import Labelled
from training.data.hypotheses import ANY_NAME, say
from training.network import ENTAILMENT
from training.stages.cross_encoder import CANDIDATES, LONGEST_TEXT, TOKEN_BUDGET, candidate_logits

OF_OTHER_TASKS = 0.3
"""Share of the texts whose candidates come from anywhere: what is asked later was in no task."""


def distil_loss(
    student: BertForSequenceClassification,
    teacher: BertForSequenceClassification,
    batcher: TokenBatcher,
    teachers_batcher: TokenBatcher,
    tasks: dict[str, LengthSorted],
    weights: dict[str, float],
) -> Callable[[int], Tensor]:
    """The loss of a step; labels of the data say which candidates are asked, never which is right."""

    def loss_of_step(step: int) -> Tensor:
        rng = random.Random(2_000_003 * step)
        task = draw_task(rng, tasks, weights)
        data = tasks[task]
        rows = data.draw(rng, TOKEN_BUDGET, LONGEST_TEXT)
        examples = [data.examples[row] for row in rows]
        texts = [example.text if isinstance(example, Labelled) else example.premise for example in examples]
        known = [] if rng.random() < OF_OTHER_TASKS else data.labels
        said = [_candidates(task, known, rng) for _ in rows]
        with torch.no_grad():
            theirs = [teachers_batcher.encode_all([text])[0].tolist() for text in texts]
            wanted = candidate_logits(teacher, teachers_batcher, theirs, said, LONGEST_TEXT)
        got = candidate_logits(student, batcher, [data.tokens[row].tolist() for row in rows], said, LONGEST_TEXT)
        ranking = nn.functional.cross_entropy(got[..., ENTAILMENT], wanted[..., ENTAILMENT].softmax(dim=1))
        each = nn.functional.cross_entropy(got.flatten(0, 1), wanted.flatten(0, 1).softmax(dim=1))
        return ranking + each

    return loss_of_step


def _candidates(task: str, known: list[str], rng: random.Random) -> list[str]:
    return say(task, rng.sample(known if len(known) >= CANDIDATES else ANY_NAME, CANDIDATES), rng)
