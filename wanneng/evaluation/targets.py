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

    def scores(self, wordings: Sequence[str], scores: Sequence[float]) -> TextScores:
        """Those of an answer, in the order of the question; `wordings`: as for `prediction`."""
        found = dict(zip(wordings, scores, strict=True))
        asked = self.wordings.keys() if self.label_set else self.wordings.values()
        return TextScores(tuple(found[wording] for wording in asked))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a target answered to a question."""

    predictions: Sequence[Prediction]
    model: str
    """The model's version, where the target tells it; empty if not."""


@dataclass(frozen=True, slots=True)
class TextScores:
    """Of one text, in the order of the question's wordings; none where the text was refused."""

    scores: Sequence[float] = ()
    error: str | None = None
    """Why the text was refused."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of all labels, where `Answers` has those of the best ones."""

    texts: Sequence[TextScores]
    model: str
    """As in `Answers`."""


class Target(Protocol):
    """An engine's folder, a gateway, or another server."""

    @property
    def name(self) -> str:
        """For people."""

    def describe(self) -> Mapping[str, Any]:
        """For the report."""

    def ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        """One prediction for each text, in order. `CommandError` where nothing can be asked."""


class Scorer(Protocol):
    """A target that tells the scores of all labels."""

    @property
    def name(self) -> str:
        """For people."""

    def describe(self) -> Mapping[str, Any]:
        """For the report."""

    def score(self, question: Question, texts: Sequence[str], progress: Progress) -> Scored:
        """The scores of each text, in order. `CommandError` where nothing can be asked."""
