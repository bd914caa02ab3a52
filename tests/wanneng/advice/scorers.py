"""A scorer that answers by a rule, for tests of what is made of its scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wanneng.evaluation.targets import Progress, Question, Scored, TextScores

Logit = Callable[[str, str], float]
"""Of a text and a hypothesis."""


class RuleScorer:
    """Scores are the softmax of what `logit` gives; texts in `refused` have none.

    A label set of `sets` has logits of its own, by label, whatever the text.
    """

    def __init__(
        self, logit: Logit, refused: Sequence[str] = (), sets: Mapping[str, Mapping[str, float]] | None = None
    ) -> None:
        self.name = "rule"
        self.questions: list[Question] = []
        self._logit, self._refused, self._sets = logit, refused, sets or {}

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "rule", "name": self.name}

    def score(self, question: Question, texts: Sequence[str], progress: Progress) -> Scored:
        self.questions.append(question)
        answers = []
        for text in texts:
            answers.append(
                TextScores(error="the text is unknown")
                if text in self._refused
                else TextScores(softmax(self._logits(question, text)))
            )
            progress()
        return Scored(answers, "rule-1")

    def _logits(self, question: Question, text: str) -> list[float]:
        if question.label_set is not None:
            return [self._sets[question.label_set][label] for label in question.wordings]
        template = question.template or "{}"
        return [self._logit(text, template.replace("{}", wording)) for wording in question.wordings.values()]


def softmax(logits: Sequence[float]) -> tuple[float, ...]:
    odds = [math.exp(logit - max(logits)) for logit in logits]
    return tuple(value / sum(odds) for value in odds)
