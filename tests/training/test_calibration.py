from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.samples import numbered_tokens, small_network
from training.calibration import TaskScores, apply_temperature, best_temperature


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """Six of ten answers with a probability of 0.8 are correct."""
    scores = np.tile(np.log([0.8, 0.2]), (10, 1))
    task = TaskScores(scores, np.array([0] * 6 + [1] * 4))
    assert task.accuracy == 0.6
    assert task.calibration_error() == pytest.approx(0.2)


def test_the_best_temperature_corrects_overconfident_scores() -> None:
    rng = np.random.default_rng(3)
    calibrated = rng.normal(0, 1.5, (4_000, 5))
    probabilities = np.exp(calibrated) / np.exp(calibrated).sum(axis=1, keepdims=True)
    targets = np.array([rng.choice(5, p=row) for row in probabilities])
    overconfident = TaskScores(2.5 * calibrated, targets)
    temperature = best_temperature([overconfident])
    assert temperature == pytest.approx(2.5, rel=0.1)
    assert overconfident.calibration_error(temperature) < 0.03 < overconfident.calibration_error()


def test_a_temperature_is_applied_to_the_weights() -> None:
    network = small_network(numbered_tokens(20))
    torch.nn.init.normal_(network.classifier.weight)
    ids = torch.arange(6).unsqueeze(0)
    before = network(input_ids=ids).logits
    apply_temperature(network, 2.0)
    torch.testing.assert_close(network(input_ids=ids).logits, before / 2)
