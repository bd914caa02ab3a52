"""Asks a gateway for a model's own logits of texts with the labels of a set, without the set's correction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from wanneng.client import Client, LabelSet
from wanneng.client.classify import Options, SpecialTokens

SMALLEST = 1e-300
NEAREST_TO_ONE = 1 - 1e-12


@dataclass(frozen=True, slots=True)
class TextLogits:
    """Of one text; each in the order of the set's labels."""

    scores: tuple[float, ...]
    """Of entailment, up to a constant; where labels are scored one by one, of entailment less contradiction."""
    own: tuple[float, ...]
    """Of each pair's own probability of entailment."""
    model_version: str = ""
    """Of the engine that answered."""


def is_one_by_one(label_set: LabelSet) -> bool:
    return label_set.multi_label or len(label_set.labels) == 1


def ask(client: Client, label_set: LabelSet, texts: Sequence[str]) -> Iterator[TextLogits]:
    """Some texts at a time; `RequestError` for a text that is refused.

    The set's hypotheses are asked as labels: the set itself would be answered with its correction.
    """
    template = label_set.hypothesis_template
    hypotheses = [label.hypothesis or template.replace("{}", label.label) for label in label_set.labels]
    options: Options = {"multi_label": label_set.multi_label, "entailment": True, "hypothesis_template": "{}"}
    if label_set.max_tokens is not None:
        options["max_tokens"] = label_set.max_tokens
    if label_set.special_tokens is not None:
        options["special_tokens"] = cast("SpecialTokens", label_set.special_tokens)
    to_logit = _logit if is_one_by_one(label_set) else _log
    for answer in client.stream(texts, hypotheses, **options):
        if answer.error is not None:
            raise answer.error
        scores = dict(zip(answer.labels, answer.scores, strict=True))
        own = dict(zip(answer.labels, answer.entailment or (), strict=True))
        yield TextLogits(
            tuple(to_logit(scores[hypothesis]) for hypothesis in hypotheses),
            tuple(_logit(own[hypothesis]) for hypothesis in hypotheses),
            answer.model_version,
        )


def _log(probability: float) -> float:
    return math.log(max(probability, SMALLEST))


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1 - NEAREST_TO_ONE), NEAREST_TO_ONE)
    return math.log(bounded / (1 - bounded))
