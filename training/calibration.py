"""Do scores mean what they say? The calibration error, and the temperature that lowers it. Trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BertForSequenceClassification

BINS = 15
TEMPERATURES = np.geomspace(0.25, 4.0, 81)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model said of a task's texts."""

    scores: NDArray[np.float64]
    """`[texts, labels]`: entailment logits."""
    answers: NDArray[np.int64]
    """`[texts]`: the column of the right label."""

    @property
    def accuracy(self) -> float:
        """Share of texts whose highest score is the right label's."""
        return float((self.scores.argmax(axis=1) == self.answers).mean())

    def part(self, which: int) -> Asked:
        """Every second text, from the first (0) or the second (1)."""
        return Asked(self.scores[which::2], self.answers[which::2])

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """`[texts, labels]`: what a caller would see, with all logits divided by `temperature`."""
        scaled = self.scores / temperature
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def calibration_error(self, temperature: float = 1.0) -> float:
        """Expected calibration error in 15 bins of the first label's score (Guo et al. 2017, equation 3)."""
        probabilities = self.probabilities(temperature)
        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == self.answers
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        gaps = [abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in range(BINS)]
        return float(sum(gaps) / len(confidence))

    def loss(self, temperature: float) -> float:
        """Mean negative log-likelihood of the right labels."""
        rows = np.arange(len(self.answers))
        return float(-np.log(self.probabilities(temperature)[rows, self.answers] + 1e-12).mean())


def best_temperature(tasks: Sequence[Asked]) -> float:
    """The one with the least loss, each task counting alike (Guo et al. 2017, section 4.2)."""
    losses = [sum(task.loss(float(temperature)) for task in tasks) for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def apply_temperature(network: BertForSequenceClassification, temperature: float) -> None:
    """Divide all logits, in the last layer's weights: no order of labels changes."""
    with torch.no_grad():
        network.classifier.weight.div_(temperature)
        network.classifier.bias.div_(temperature)
