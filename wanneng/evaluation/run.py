"""Asks every variant about the examples, and scores and compares the answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wanneng.errors import CommandError
from wanneng.evaluation.compare import Comparison, compare
from wanneng.evaluation.metrics import Prediction, Scores, score
from wanneng.evaluation.targets import Progress, Question, Target
from wanneng.examples import Examples

MAX_VARIANTS = 16


@dataclass(frozen=True, slots=True)
class Variant:
    """One of those that are compared."""

    name: str
    """For people; different from the others'."""
    target: Target
    question: Question
    wording: str = ""
    """Name of the wording; empty: the labels as they are."""


@dataclass(frozen=True, slots=True)
class Result:
    variant: Variant
    model: str
    predictions: Sequence[Prediction]
    scores: Scores
    duration_s: float
    """For people alone; never part of a report, which is the same for the same input."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    examples: Examples
    labels: Sequence[str]
    """Those of the texts, those that were asked about, and those that were predicted."""
    results: Sequence[Result]
    comparisons: Sequence[Comparison]

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """Each refused text's location and the reason."""
        return [
            (
                f"{result.variant.name}: {example.location}" if len(self.results) > 1 else example.location,
                p.error or "",
            )
            for result in self.results
            for example, p in zip(self.examples.items, result.predictions, strict=True)
            if p.label is None
        ]


def variants(
    targets: Sequence[Target],
    labels: Sequence[str],
    templates: Sequence[str] = (),
    wordings: Mapping[str, Mapping[str, str]] | None = None,
    label_sets: Sequence[str] = (),
    *,
    multi_label: bool = False,
) -> list[Variant]:
    """Each target with each template and each wording, and with each label set.

    `wordings`: by name, those of some labels; the others keep their own. `CommandError` for a bad template or
    wording, and for more than `MAX_VARIANTS`.
    """
    own = {label: label for label in labels}
    worded = {name: own | dict(wording) for name, wording in (wordings or {"": {}}).items()}
    questions = [
        (
            _joined(template if len(templates) > 1 or label_sets else None, name),
            name,
            Question(words, template, None, multi_label),
        )
        for template in templates or (None,)
        for name, words in worded.items()
        if not label_sets or templates or wordings
    ]
    questions += [(reference, "", Question(own, None, reference)) for reference in label_sets]
    if len(targets) * len(questions) > MAX_VARIANTS:
        raise CommandError(
            f"{len(targets) * len(questions)} combinations of models, templates, wordings and label sets, at most "
            f"{MAX_VARIANTS}; compare fewer at a time"
        )
    for _, _, question in questions:
        question.check()
    asked, taken = [], Counter[str]()
    for target in targets:
        for question_name, wording, question in questions:
            name = _joined(target.name if len(targets) > 1 or not question_name else None, question_name)
            taken[name] += 1
            # Two folders of one name, in different places.
            name = name if taken[name] == 1 else f"{name} ({taken[name]})"
            asked.append(Variant(name, target, question, wording))
    return asked


def evaluate(
    examples: Examples,
    labels: Sequence[str],
    asked: Sequence[Variant],
    *,
    thresholds: Sequence[float] = (),
    progress: Progress = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Evaluation:
    """`labels`: those that are asked about; the report adds those that a label set brings.

    Texts of none of the labels count for coverage alone.
    """
    texts = [example.text for example in examples.items]
    gold = [example.label for example in examples.items]
    answered = []
    for variant in asked:
        started_at = clock()
        answers = variant.target.ask(variant.question, texts, progress)
        answered.append((variant, answers, clock() - started_at))
    predicted = {p.label: None for _, answers, _ in answered for p in answers.predictions if p.label is not None}
    labels = [*labels, *(label for label in predicted if label not in labels)]
    results = [
        Result(
            variant, answers.model, answers.predictions, score(gold, answers.predictions, labels, thresholds), s
        )
        for variant, answers, s in answered
    ]
    correct = [
        [p.label == label for p, label in zip(result.predictions, gold, strict=True) if label is not None]
        for result in results
    ]
    return Evaluation(examples, labels, results, compare(correct))


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)
