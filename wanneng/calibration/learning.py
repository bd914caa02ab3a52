"""`wanneng calibrate`: learns a label set's correction and its threshold from labelled texts.

A text is accepted when its best label's own probability of entailment reaches the threshold. Precision is the
share of accepted texts whose best label is theirs; recall the share of labelled texts that are accepted with
their label; F1 their harmonic mean (van Rijsbergen, Information Retrieval, 1979, chapter 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wanneng.calibration.correction import MIN_EXAMPLES, Examples, apply
from wanneng.calibration.label_logits import TextLogits, is_one_by_one
from wanneng.client import Client, Correction, Evaluation, LabelSet
from wanneng.errors import CommandError
from wanneng.examples import Example

MAX_EXAMPLES_A_LABEL = 64
"""For a correction; more of them change it little, and take long."""
MAX_LOGIT = 80.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """The best label's own probability of entailment, and whether it is the text's label."""

    probability: float
    correct: bool
    labelled: bool
    """Whether the text has a label of the set."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold and what it gives."""

    value: float
    precision: float
    recall: float
    accepted: int
    """Texts."""

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


class TooFewExamples(CommandError):
    """Of a label; nothing can be learned for it."""


def as_array(logits: Sequence[TextLogits]) -> NDArray[np.float64]:
    """`[texts, labels]`: what the scores are made from."""
    return np.array([text.scores for text in logits])


def predictions(
    label_set: LabelSet, examples: Sequence[Example], logits: Sequence[TextLogits], correction: Correction | None
) -> list[Prediction]:
    """What the set with `correction` would answer for every example."""
    best, highest = best_labels(label_set, logits, correction)
    return [
        Prediction(probability, label_set.labels[index].label == example.label, example.label is not None)
        for example, index, probability in zip(examples, best, highest, strict=True)
    ]


def best_labels(
    label_set: LabelSet, logits: Sequence[TextLogits], correction: Correction | None
) -> tuple[list[int], list[float]]:
    """For each text the index of its best label with `correction`, and the highest probability of entailment."""
    scores, own = as_array(logits), np.array([text.own for text in logits])
    if correction is not None:
        changed = apply(correction, scores, one_by_one=is_one_by_one(label_set))
        own, scores = own + changed - scores, changed
    highest = 1 / (1 + np.exp(-np.clip(own.max(1), -MAX_LOGIT, MAX_LOGIT)))
    return scores.argmax(1).tolist(), highest.tolist()


def examples_of(
    label_set: LabelSet,
    labelled: Sequence[Example],
    logits: Sequence[TextLogits],
    texts: Sequence[TextLogits],
) -> Examples:
    """What a correction is learned from: at most `MAX_EXAMPLES_A_LABEL` texts of each label.

    A text that occurs with several labels has them all; one without a label counts where labels are scored one by
    one. `CommandError` for a label that the set lacks, `TooFewExamples` for one with too few texts.
    """
    names, one_by_one = [label.label for label in label_set.labels], is_one_by_one(label_set)
    columns: dict[str, set[int]] = {}
    row_of: dict[str, TextLogits] = {}
    counts = [0] * len(names)
    for example, values in zip(labelled, logits, strict=True):
        if example.label is None:
            if one_by_one:
                columns.setdefault(example.text, set())
                row_of[example.text] = values
            continue
        if example.label not in names:
            raise CommandError(
                f"{example.location or example.text}: {example.label!r} is no label of {label_set.reference}"
            )
        column = names.index(example.label)
        counts[column] += 1
        if counts[column] <= MAX_EXAMPLES_A_LABEL and (one_by_one or example.text not in columns):
            columns.setdefault(example.text, set()).add(column)
            row_of[example.text] = values
    applies = np.zeros((len(columns), len(names)), dtype=bool)
    for row, of_text in enumerate(columns.values()):
        applies[row, list(of_text)] = True
    few = [
        f"{name} has {count}" for name, count in zip(names, applies.sum(0), strict=True) if count < MIN_EXAMPLES
    ]
    if few:
        raise TooFewExamples(f"a correction needs {MIN_EXAMPLES} examples of each label; {', '.join(few)}")
    return Examples(
        np.array([row_of[text].scores for text in columns]),
        applies,
        one_by_one=one_by_one,
        texts=as_array(texts) if texts else None,
    )


def thresholds(predictions: Sequence[Prediction]) -> list[Threshold]:
    """Every threshold that makes a difference, the lowest first; each lies between two probabilities."""
    falling = sorted(predictions, key=lambda prediction: -prediction.probability)
    labelled = sum(prediction.labelled for prediction in predictions)
    candidates, correct = [], 0
    for accepted, prediction in enumerate(falling, 1):
        correct += prediction.correct
        next_probability = falling[accepted].probability if accepted < len(falling) else 0.0
        if next_probability == prediction.probability:
            continue
        value = (prediction.probability + next_probability) / 2
        recall = correct / labelled if labelled else 0.0
        candidates.append(Threshold(value, correct / accepted, recall, accepted))
    return candidates[::-1]


def choose(candidates: Sequence[Threshold], precision: float | None = None) -> Threshold:
    """The best F1; or, of those with at least `precision`, the one with the best recall."""
    if precision is None:
        return max(candidates, key=lambda threshold: threshold.f1)
    precise = [threshold for threshold in candidates if threshold.precision >= precision]
    if not precise:
        best = max(threshold.precision for threshold in candidates)
        raise CommandError(f"no threshold has a precision of {precision:g} here; the best has {best:.3f}")
    return max(precise, key=lambda threshold: (threshold.recall, threshold.precision))


def store(
    client: Client,
    label_set: LabelSet,
    threshold: float | None,
    correction: Correction | None,
    evaluation: Evaluation | None = None,
) -> str:
    """Make a version of the set with these; its reference. `CommandError` if it has been changed since."""
    newest = client.label_sets.get(label_set.name)
    if newest.version != label_set.version:
        raise CommandError(f"{newest.reference} is the newest version, not {label_set.reference}; calibrate that")
    stored = client.label_sets.put(
        newest.name,
        newest.labels,
        hypothesis_template=newest.hypothesis_template,
        multi_label=newest.multi_label,
        max_tokens=newest.max_tokens,
        threshold=threshold,
        special_tokens=newest.special_tokens,
        correction=correction,
        evaluation=evaluation,
        replaces=newest.version,
    )
    return stored.reference
