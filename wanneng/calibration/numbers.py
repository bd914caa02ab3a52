"""The numbers of a calibrated version, from the texts that it was calibrated with; stored with the version."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from wanneng.calibration.label_logits import TextLogits
from wanneng.calibration.learning import best_labels
from wanneng.client import Correction, Evaluation, LabelSet
from wanneng.examples import Example


def evaluation_of(
    label_set: LabelSet,
    labelled: Sequence[Example],
    logits: Sequence[TextLogits],
    correction: Correction | None,
    threshold: float | None,
    at: datetime,
) -> Evaluation:
    """What `label_set` with `correction` and `threshold` answers, beside what it answers now.

    `logits`: of the labelled examples, then of the texts without labels.
    """
    names = [label.label for label in label_set.labels]
    best, probabilities = best_labels(label_set, logits, correction)
    answers = _answers(best, probabilities, threshold)
    before = _answers(*best_labels(label_set, logits, label_set.correction), label_set.threshold)
    model_versions = {text.model_version for text in logits}
    return Evaluation(
        evaluated_at=at,
        model_version=model_versions.pop() if len(model_versions) == 1 else None,
        texts=len(logits),
        labelled=sum(example.label is not None for example in labelled),
        correct=sum(names[index] == example.label for index, example in zip(best, labelled, strict=False)),
        none_of_these=answers.count(None),
        compared_with=label_set.version,
        changed=sum(now != then for now, then in zip(answers, before, strict=True)),
        in_sample=correction is not None and correction != label_set.correction,
    )


def _answers(best: Sequence[int], probabilities: Sequence[float], threshold: float | None) -> list[int | None]:
    """The best label of each text; None below the threshold."""
    return [
        None if threshold is not None and probability < threshold else index
        for index, probability in zip(best, probabilities, strict=True)
    ]
