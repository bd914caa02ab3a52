"""What can be judged: a question is asked of a target, which predicts a label for each text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wanneng.errors import CommandError
from wanneng.evaluation.metrics import SCORE_DIGITS, Prediction

PLACEHOLDER = "{}"
Progress = Callable[[], None]
"""Called for each answered text."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about every text."""

    wordings: Mapping[str, str]
    """Each label as it is in the examples, and how it is put to the model."""
    template: str | None = None
    """None: the target's default."""
    label_set: str | None = None
    """The target's own, in place of the wordings and the template."""
    multi_label: bool = False

    def check(self) -> None:
        """`CommandError` for a template without one place for the label, and for wordings that are the same."""
        if self.template is not None and self.template.count(PLACEHOLDER) != 1:
            raise CommandError(f"--template {self.template!r} needs exactly one {{}}, where the label goes")
        taken: dict[str, str] = {}
        for label, wording in self.wordings.items():
            if not wording.strip():
                raise CommandError(f"the wording of the label {label!r} is empty")
            if wording in taken:
                raise CommandError(
                    f"the labels {taken[wording]!r} and {label!r} have the same wording, {wording!r}"
                )
            taken[wording] = label

    def prediction(self, wordings: Sequence[str], scores: Sequence[float]) -> Prediction:
        """The first of the best; `wordings`: those of the answer, or the labels of a label set."""
        best = max(range(len(scores)), key=lambda position: scores[position])
        labels = {} if self.label_set else {wording: label for label, wording in self.wordings.items()}
        return Prediction(labels.get(wordings[best], wordings[best]), round(scores[best], SCORE_DIGITS))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a target answered to a question."""

    predictions: Sequence[Prediction]
    model: str
    """The model's version, where the target tells it; empty if not."""


class Target(Protocol):
    """An engine's folder, a gateway, or another server."""

    @property
    def name(self) -> str:
        """For people."""

    def describe(self) -> Mapping[str, Any]:
        """For the report."""

    def ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        """One prediction for each text, in order. `CommandError` where nothing can be asked."""
