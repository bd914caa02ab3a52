"""Measures how well scores are calibrated, and chooses the temperature that calibrates them best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.split_bert import SplitBertForSequenceClassification

BINS = 15
TEMPERATURES = np.geomspace(0.25, 4.0, 81)


@dataclass(frozen=True, slots=True)
class TaskScores:
    """A model's scores for the texts of a task."""

    scores: NDArray[np.float64]
    """`[texts, labels]`: entailment logits."""
    targets: NDArray[np.int64]
    """`[texts]`: column of the correct label."""

    @property
    def accuracy(self) -> float:
        """Share of texts whose correct label has the highest score."""
        return float((self.scores.argmax(axis=1) == self.targets).mean())

    def half(self, number: int) -> TaskScores:
        """Every second text, beginning with the first (0) or the second (1)."""
        return TaskScores(self.scores[number::2], self.targets[number::2])

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """`[texts, labels]`: softmax of the scores divided by `temperature`."""
        scaled = self.scores / temperature
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def calibration_error(self, temperature: float = 1.0) -> float:
        """Expected calibration error of the best label's probability, 15 bins (Guo et al. 2017, equation 3)."""
        probabilities = self.probabilities(temperature)
        confidence = probabilities.max(axis=1)
        correct = probabilities.argmax(axis=1) == self.targets
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        gaps = [abs(correct[bins == b].sum() - confidence[bins == b].sum()) for b in range(BINS)]
        return float(sum(gaps) / len(confidence))

    def negative_log_likelihood(self, temperature: float) -> float:
        """Mean over the texts, of the correct labels."""
        rows = np.arange(len(self.targets))
        return float(-np.log(self.probabilities(temperature)[rows, self.targets] + 1e-12).mean())


def best_temperature(tasks: Sequence[TaskScores]) -> float:
    """The temperature with the smallest sum of the tasks' losses (Guo et al. 2017, section 4.2)."""
    losses = [sum(task.negative_log_likelihood(float(value)) for task in tasks) for value in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def apply_temperature(network: SplitBertForSequenceClassification, temperature: float) -> None:
    """Divide all logits by `temperature`, by dividing the weights that make them; rankings stay the same."""
    with torch.no_grad():
        for layer in (network.similarity, network.classifier):
            layer.weight.div_(temperature)
            layer.bias.div_(temperature)
