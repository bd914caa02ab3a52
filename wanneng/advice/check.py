"""Asks a model about texts without labels, and judges the labels, templates and wordings by its scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from wanneng.advice.figures import (
    Gain,
    LabelFigures,
    PairFigures,
    Scores,
    gain,
    information,
    label_figures,
    mean_interval,
    pair_figures,
)
from wanneng.advice.wordings import candidates
from wanneng.errors import CommandError
from wanneng.evaluation.compare import SIGNIFICANCE, holm
from wanneng.evaluation.intervals import Interval
from wanneng.evaluation.targets import PLACEHOLDER, Question, Scorer

MIN_LABELS, MAX_LABELS = 2, 256
"""The most are a gateway's own limit by default, wordings that are tried included."""
MAX_TEMPLATES = 8
MAX_CANDIDATES = 32
"""Wordings that are tried."""
MIN_TEXTS = 30
"""With fewer, the interval of a gain is too narrow for what it says."""
MIN_GAIN = 0.2
"""In bits; smaller gains say nothing about accuracy, however sure they are (docs/decisions/0065)."""
SMALLEST = 1e-37
"""Of a score that is divided by; smaller ones are not exact in 32 bits."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The labels that are checked, and how they are put to the model."""

    labels: Sequence[str]
    template: str | None = None
    """None: the target's default."""
    hypotheses: Mapping[str, str] = field(default_factory=dict)
    """Of labels that have one of their own."""
    corrected_set: str | None = None
    """A label set whose scores are not the model's own: what the labels are judged by."""

    def check(self) -> None:
        """`CommandError` for labels that cannot be checked."""
        if not MIN_LABELS <= len(self.labels) <= MAX_LABELS:
            raise CommandError(
                f"the number of labels is {len(self.labels)}; from {MIN_LABELS} to {MAX_LABELS} can be checked"
            )
        twice = next((label for label in self.labels if self.labels.count(label) > 1), None)
        if twice is not None:
            raise CommandError(f"the label {twice!r} is given twice; leave one out")

    def question(self, template: str | None, labels: Sequence[str], wordings: Sequence[str] = ()) -> Question:
        """`labels`, with their own hypotheses, and `wordings` beside them; each answers under its own name."""

        def put(wording: str) -> str:
            return wording if template is None else template.replace(PLACEHOLDER, wording)

        asked = {label: self.hypotheses.get(label, put(label)) for label in labels}
        asked |= {wording: put(wording) for wording in wordings}
        return Question(asked, None if template is None else PLACEHOLDER)


@dataclass(frozen=True, slots=True)
class TemplateFigures:
    template: str | None
    information: Interval
    """In bits; see `figures.information`."""
    gain: Gain | None
    """Over the first template; None for that one."""
    adjusted_p_value: float = 1.0

    @property
    def is_better(self) -> bool:
        return self.gain is not None and _is_better(self.gain, self.adjusted_p_value)


@dataclass(frozen=True, slots=True)
class WordingFigures:
    label: str
    wording: str
    gain: Gain
    """Over the present wording, with all other labels as they are."""
    adjusted_p_value: float

    @property
    def is_better(self) -> bool:
        return _is_better(self.gain, self.adjusted_p_value)


@dataclass(frozen=True, slots=True)
class Advice:
    texts: int
    """Those that were judged by."""
    model: str
    labels: Sequence[LabelFigures]
    pairs: Sequence[PairFigures]
    templates: Sequence[TemplateFigures]
    """The present one first."""
    wordings: Sequence[WordingFigures]
    """All that were tried, the best first."""
    refusals: Sequence[tuple[int, str]]
    """Position and reason of each text that was refused, and is not judged by."""

    @property
    def confusable(self) -> list[PairFigures]:
        return [pair for pair in self.pairs if pair.is_confusable]

    @property
    def dominant(self) -> list[LabelFigures]:
        return [label for label in self.labels if label.is_dominant]

    @property
    def proposed_template(self) -> TemplateFigures | None:
        """The one with the highest gain, of those that are better beyond chance."""
        better = [template for template in self.templates if template.is_better]
        return max(better, key=lambda found: found.information.value, default=None)

    @property
    def proposed_wordings(self) -> list[WordingFigures]:
        """The best one of each label that has one that is better beyond chance."""
        best: dict[str, WordingFigures] = {}
        for wording in self.wordings:
            if wording.is_better:
                best.setdefault(wording.label, wording)
        return list(best.values())


Progress = Callable[[int, int], None]
"""Called with how many answers there are, and how many there will be as far as known."""


class Check:
    """One check of a subject; `texts`: at least one."""

    def __init__(self, scorer: Scorer, subject: Subject, texts: Sequence[str], progress: Progress) -> None:
        self._scorer, self._subject, self._texts, self._progress = scorer, subject, texts, progress
        self._refusals: dict[int, str] = {}
        self._models: set[str] = set()
        self._done = self._total = 0

    def run(self, templates: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> Advice:
        """`templates`: those that are compared with the present one; `wanted`: wordings to try, by label.

        `CommandError` where nothing can be asked, too much is, or every text is refused.
        """
        subject, most = self._subject, min(MAX_CANDIDATES, MAX_LABELS - len(self._subject.labels))
        subject.check()
        asked_templates = list(dict.fromkeys((subject.template, *templates)))
        if len(asked_templates) > MAX_TEMPLATES:
            raise CommandError(
                f"{len(asked_templates)} templates, at most {MAX_TEMPLATES}; compare fewer at a time"
            )
        for template in asked_templates:
            Question({}, template).check()
            subject.question(template, subject.labels).check()
        candidates(subject.labels, (), wanted, most)
        if len(self._texts) < MIN_TEXTS:
            asked_templates = asked_templates[:1]
        questions = [subject.question(template, subject.labels) for template in asked_templates]
        self._total = len(questions) * len(self._texts)
        judged_by = own = self._ask(questions[0])
        if subject.corrected_set is not None:
            self._total += len(self._texts)
            judged_by = self._ask(
                Question({label: label for label in subject.labels}, None, subject.corrected_set)
            )
        others = [self._ask(question) for question in questions[1:]]
        labels, pairs = self._judge(judged_by)
        enough = len(self._texts) - len(self._refusals) >= MIN_TEXTS
        tried = candidates(subject.labels, _doubtful(labels, pairs), wanted, most) if enough else {}
        relative = self._relative(tried) if tried else []
        kept = [number for number in range(len(self._texts)) if number not in self._refusals]
        labels, pairs = self._judge(judged_by)
        present = [own[number] for number in kept]
        return Advice(
            len(kept),
            ", ".join(sorted(self._models)),
            labels,
            pairs,
            _compared(asked_templates, present, [[scores[number] for number in kept] for scores in others]),
            self._tried(tried, present, [relative[number] for number in kept] if tried else []),
            sorted(self._refusals.items()),
        )

    def _judge(self, scores: Sequence[Sequence[float]]) -> tuple[list[LabelFigures], list[PairFigures]]:
        kept = [row for number, row in enumerate(scores) if number not in self._refusals]
        return label_figures(self._subject.labels, kept), pair_figures(self._subject.labels, kept)

    def _ask(self, question: Question) -> list[Sequence[float]]:
        """The scores of each text, empty for one that was refused. `CommandError` if all are."""

        def progress() -> None:
            self._done += 1
            self._progress(self._done, self._total)

        scored = self._scorer.score(question, self._texts, progress)
        self._models |= {scored.model} - {""}
        for number, text in enumerate(scored.texts):
            if text.error is not None:
                self._refusals.setdefault(number, text.error)
        if len(self._refusals) == len(self._texts):
            raise CommandError(f"all texts were refused; the first one: {next(iter(self._refusals.values()))}")
        return [text.scores for text in scored.texts]

    def _relative(self, tried: Mapping[str, str]) -> list[Sequence[float]]:
        """Of each text, the wordings' odds against the first label: exponentials of differences of logits.

        The ratio of two scores depends on their two labels alone, so that no label but one is asked about again.
        """
        self._total += len(self._texts)
        first = self._subject.labels[0]
        scores = self._ask(self._subject.question(self._subject.template, [first], list(tried)))
        return [[score / max(row[0], SMALLEST) for score in row[1:]] for row in scores]

    def _tried(
        self, tried: Mapping[str, str], present: Scores, relative: Sequence[Sequence[float]]
    ) -> list[WordingFigures]:
        if len(present) < MIN_TEXTS:
            return []
        gains = []
        for column, label in enumerate(tried.values()):
            place = self._subject.labels.index(label)
            gains.append(
                gain([_replaced(*rows, place, column) for rows in zip(present, relative, strict=True)], present)
            )
        p_values = holm([found.p_value for found in gains])
        figures = [
            WordingFigures(label, wording, found, p_value)
            for (wording, label), found, p_value in zip(tried.items(), gains, p_values, strict=True)
        ]
        return sorted(figures, key=lambda found: (-found.gain.bits.value, found.wording))


def _is_better(found: Gain, adjusted_p_value: float) -> bool:
    return found.bits.value >= MIN_GAIN and adjusted_p_value < SIGNIFICANCE


def _doubtful(labels: Sequence[LabelFigures], pairs: Sequence[PairFigures]) -> list[str]:
    """The labels for which other wordings may help: the dominant ones, then the most confusable."""
    dominant = [label.label for label in labels if label.is_dominant]
    return list(
        dict.fromkeys([*dominant, *(name for pair in pairs if pair.is_confusable for name in pair.labels)])
    )


def _replaced(present: Sequence[float], relative: Sequence[float], place: int, column: int) -> Sequence[float]:
    """The scores with another wording at `place`."""
    odds = list(present)
    odds[place] = relative[column] * max(present[0], SMALLEST)
    total = math.fsum(odds)
    return [value / total for value in odds]


def _compared(templates: Sequence[str | None], present: Scores, others: Sequence[Scores]) -> list[TemplateFigures]:
    gains = [gain(scores, present) for scores in others] if len(present) >= MIN_TEXTS else []
    p_values = holm([found.p_value for found in gains])
    figures = [TemplateFigures(templates[0], mean_interval(information(present)), None)]
    for number, (template, scores) in enumerate(zip(templates[1:], others, strict=True)):
        interval = mean_interval(information(scores))
        found = (gains[number], p_values[number]) if gains else (None, 1.0)
        figures.append(TemplateFigures(template, interval, *found))
    return figures
