from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.split_bert import SplitBertForSequenceClassification
from tests.training.samples import no_log, numbered_tokens, small_network
from training.loop import Stage, run_stage


def network_for_ids() -> SplitBertForSequenceClassification:
    return small_network(numbered_tokens(20))


def loss_of(network: SplitBertForSequenceClassification, ids: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(network(input_ids=ids).logits, ids[:, 0] % 3)


def random_ids(step: int) -> Tensor:
    return torch.randint(0, 20, (4, 6), generator=torch.Generator().manual_seed(step))


def test_a_resumed_stage_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are the same after a run that stopped at step 4 of 6."""
    # Measuring could choose different precisions for the two runs.
    monkeypatch.setattr("training.loop._faster_precision", lambda *_: torch.float32)

    def train(folder: Path, stops_at: int | None) -> dict[str, Tensor]:
        network = network_for_ids()
        stage = Stage("stage", 6, learning_rate=1e-3, warmup_steps=1, checkpoint_every_steps=2)

        def loss(step: int) -> Tensor:
            if step == stops_at:
                raise KeyboardInterrupt
            ids = random_ids(step)
            return loss_of(network, ids)

        folder.mkdir(exist_ok=True)
        run_stage(stage, network, loss, folder, no_log)
        return network.state_dict()

    uninterrupted = train(tmp_path / "uninterrupted", None)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", 4)
    resumed = train(tmp_path / "stopped", None)
    for name, value in uninterrupted.items():
        torch.testing.assert_close(resumed[name], value)


def test_the_learning_rate_rises_and_falls(tmp_path: Path) -> None:
    """Shown by how far each step moves the weights: little at first, then far, at last hardly."""
    network = network_for_ids()
    weights: list[Tensor] = []

    def loss(step: int) -> Tensor:
        weights.append(network.classifier.weight.detach().clone())
        ids = random_ids(step)
        return loss_of(network, ids)

    steps = 40
    run_stage(Stage("stage", steps, 1e-2, warmup_steps=10), network, loss, tmp_path, no_log)

    of_each_step = [*weights[-steps:], network.classifier.weight.detach()]
    distances = [float((after - before).norm()) for before, after in itertools.pairwise(of_each_step)]
    assert distances[0] < 0.5 * max(distances)
    assert max(distances[-3:]) < 0.1 * max(distances)
    assert 5 < np.argmax(distances) < 25


def test_a_resumed_stage_keeps_its_precision(tmp_path: Path) -> None:
    """Measured again, it could be another one, and the run would differ from an uninterrupted one."""
    mixed: list[bool] = []

    def train(steps: int) -> None:
        network = network_for_ids()

        def loss(step: int) -> Tensor:
            mixed.append(torch.is_autocast_enabled("cpu"))
            ids = torch.full((2, 3), step + 1)
            return loss_of(network, ids)

        run_stage(Stage("stage", steps, learning_rate=1e-3), network, loss, tmp_path, no_log)

    train(2)
    assert set(mixed) == {True, False}, "both are measured"
    checkpoint = torch.load(tmp_path / "stage.pt", weights_only=True)
    for precision in (torch.bfloat16, torch.float32):
        torch.save(checkpoint | {"precision": precision}, tmp_path / "stage.pt")
        mixed.clear()
        train(4)
        assert mixed == [precision == torch.bfloat16] * 2
