"""`wanneng calibrate`: finds a label set's threshold from labelled texts.

A text is accepted when its best label's own probability of entailment reaches the threshold. Precision is the
share of accepted texts whose best label is theirs; recall the share of labelled texts that are accepted with
their label; F1 their harmonic mean (van Rijsbergen, Information Retrieval, 1979, chapter 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wanneng.client import Client
from wanneng.errors import CommandError
from wanneng.examples import Example


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


def predict(client: Client, label_set: str, examples: Sequence[Example]) -> Iterator[Prediction]:
    """Classify every text, some at a time."""
    answers = client.stream([example.text for example in examples], label_set=label_set, entailment=True)
    for example, answer in zip(examples, answers, strict=True):
        labelled = example.label is not None
        yield Prediction(max(answer.entailment or ()), labelled and answer.best == example.label, labelled)


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


def store_threshold(client: Client, name: str, threshold: float) -> str:
    """Make a version of the set with the threshold; its reference."""
    newest = client.label_sets.get(name)
    stored = client.label_sets.put(
        name,
        newest.labels,
        hypothesis_template=newest.hypothesis_template,
        multi_label=newest.multi_label,
        max_tokens=newest.max_tokens,
        threshold=threshold,
        special_tokens=newest.special_tokens,
        replaces=newest.version,
    )
    return stored.reference
