"""The training loop of all stages: optimizer, precision, learning rate schedule, checkpoints, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

MEASURED_STEPS = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of training; `name` is also the name of its checkpoint."""

    name: str
    steps: int
    learning_rate: float
    warmup_steps: int = 100
    checkpoint_every_steps: int = 100
    report_every_steps: int = 25


def run_stage(
    stage: Stage,
    network: PreTrainedModel,
    loss_of_step: Callable[[int], Tensor],
    folder: Path,
    log: Callable[[str], None],
) -> None:
    """Train `network` in place, from the checkpoint of the stage in `folder` if there is one.

    `loss_of_step` must depend on the step's number only, so that a resumed run equals an uninterrupted one.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
        lr=stage.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    checkpoint = folder / f"{stage.name}.pt"
    start, precision = _resume(checkpoint, network, optimizer)
    network.train()
    if precision is None:
        precision = _faster_precision(network, loss_of_step, log)
    started, smoothed = time.monotonic(), None
    for step in range(start, stage.steps):
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _rate_factor(step, stage)
        loss = _forward(loss_of_step, step, precision)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        smoothed = value if smoothed is None else 0.98 * smoothed + 0.02 * value
        done = step + 1
        if done % stage.report_every_steps == 0:
            step_s = (time.monotonic() - started) / (done - start)
            remaining_min = step_s * (stage.steps - done) / 60
            log(f"{stage.name} {done}/{stage.steps} loss {smoothed:.3f}, {remaining_min:.0f} min left")
        if done % stage.checkpoint_every_steps == 0 or done == stage.steps:
            _save(checkpoint, network, optimizer, done, precision)
    network.eval()


def _forward(loss_of_step: Callable[[int], Tensor], step: int, precision: torch.dtype) -> Tensor:
    mixed = precision != torch.float32
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16, enabled=mixed):
        return loss_of_step(step)


def _faster_precision(
    network: PreTrainedModel,
    loss_of_step: Callable[[int], Tensor],
    log: Callable[[str], None],
) -> torch.dtype:
    """The faster of float32 and mixed bfloat16: bfloat16 had 5 times the speed on one CPU, half on another."""
    seconds = {
        precision: _measure_step(network, loss_of_step, precision) for precision in (torch.float32, torch.bfloat16)
    }
    precision = min(seconds, key=seconds.__getitem__)
    measured = ", ".join(f"{candidate} {step_s:.3f} s" for candidate, step_s in seconds.items())
    log(f"training in {precision}; a step takes {measured}")
    return precision


def _measure_step(
    network: PreTrainedModel, loss_of_step: Callable[[int], Tensor], precision: torch.dtype
) -> float:
    """Seconds per step, without the first; the weights stay as they are."""
    started = 0.0
    for step in range(1 + MEASURED_STEPS):
        if step == 1:
            started = time.monotonic()
        loss = _forward(loss_of_step, step, precision)
        loss.backward()
        loss.item()  # Waits for an asynchronous device.
        network.zero_grad(set_to_none=True)
    return (time.monotonic() - started) / MEASURED_STEPS


def _rate_factor(step: int, stage: Stage) -> float:
    """Linear warm-up to 1, then cosine decay to 0.02."""
    if step < stage.warmup_steps:
        return (step + 1) / stage.warmup_steps
    progress = (step - stage.warmup_steps) / max(1, stage.steps - stage.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def _resume(
    path: Path, network: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> tuple[int, torch.dtype | None]:
    """Load the checkpoint; returns the next step and the precision of the earlier steps, which must not change."""
    if not path.exists():
        return 0, None
    state = torch.load(path, weights_only=True, map_location="cpu")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), state["precision"]


def _save(
    path: Path,
    network: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    step: int,
    precision: torch.dtype,
) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "precision": precision,
    }
    torch.save(state, partial)
    partial.replace(path)
