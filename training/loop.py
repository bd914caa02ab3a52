"""One training loop for every stage: precision, schedule, checkpoints, resume, progress. Knows no loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

MEASURED_STEPS = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of training: its name names its checkpoint."""

    name: str
    steps: int
    learning_rate: float
    warmup_steps: int = 200
    checkpoint_every_steps: int = 500
    report_every_steps: int = 50


def run_stage(
    stage: Stage,
    network: BertForSequenceClassification,
    loss_of_step: Callable[[int], Tensor],
    folder: Path,
    report: Callable[[str], None],
) -> None:
    """Train `network` in place; a checkpoint of the same stage is continued where it stopped.

    `loss_of_step(step)` draws its data from the step's number alone, so a resumed run sees what an unbroken one
    would have seen.
    """
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=stage.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    checkpoint = folder / f"{stage.name}.pt"
    start, precision = _resume(checkpoint, network, optimizer)
    network.train()
    if precision is None:
        precision = _fastest(network, loss_of_step, report)
    began, smoothed = time.monotonic(), None
    for step in range(start, stage.steps):
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _schedule(step, stage)
        loss = _forward(loss_of_step, step, precision)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        smoothed = value if smoothed is None else 0.98 * smoothed + 0.02 * value
        done = step + 1
        if done % stage.report_every_steps == 0:
            each_s = (time.monotonic() - began) / (done - start)
            left_min = each_s * (stage.steps - done) / 60
            report(f"{stage.name} {done}/{stage.steps} loss {smoothed:.3f}, {left_min:.0f} min left")
        if done % stage.checkpoint_every_steps == 0 or done == stage.steps:
            _save(checkpoint, network, optimizer, done, precision)
    network.eval()


def _forward(loss_of_step: Callable[[int], Tensor], step: int, precision: torch.dtype) -> Tensor:
    mixed = precision != torch.float32
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16, enabled=mixed):
        return loss_of_step(step)


def _fastest(
    network: BertForSequenceClassification,
    loss_of_step: Callable[[int], Tensor],
    report: Callable[[str], None],
) -> torch.dtype:
    """The faster of float32 and mixed bfloat16: five times faster on one processor, half as fast on another."""
    seconds = {
        precision: _seconds_of_a_step(network, loss_of_step, precision)
        for precision in (torch.float32, torch.bfloat16)
    }
    precision = min(seconds, key=seconds.__getitem__)
    report(f"{precision} of " + ", ".join(f"{kind} ({each_s:.3f} s a step)" for kind, each_s in seconds.items()))
    return precision


def _seconds_of_a_step(
    network: BertForSequenceClassification, loss_of_step: Callable[[int], Tensor], precision: torch.dtype
) -> float:
    """Learns nothing; the first step is not counted."""
    began = 0.0
    for step in range(1 + MEASURED_STEPS):
        if step == 1:
            began = time.monotonic()
        loss = _forward(loss_of_step, step, precision)
        loss.backward()
        # Waits for a device that works on by itself.
        loss.item()
        network.zero_grad(set_to_none=True)
    return (time.monotonic() - began) / MEASURED_STEPS


def _schedule(step: int, stage: Stage) -> float:
    """Linear warm-up, then half a cosine down to 2%."""
    if step < stage.warmup_steps:
        return (step + 1) / stage.warmup_steps
    progress = (step - stage.warmup_steps) / max(1, stage.steps - stage.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def _resume(
    path: Path, network: BertForSequenceClassification, optimizer: torch.optim.Optimizer
) -> tuple[int, torch.dtype | None]:
    """The step to go on with and the precision so far, which a resumed run keeps."""
    if not path.exists():
        return 0, None
    state = torch.load(path, weights_only=True, map_location="cpu")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), state["precision"]


def _save(
    path: Path,
    network: BertForSequenceClassification,
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
