"""One training loop for every stage: schedule, checkpoints, resume, progress. Knows nothing about the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertForSequenceClassification


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
    start = _resume(checkpoint, network, optimizer)
    network.train()
    began, smoothed = time.monotonic(), None
    for step in range(start, stage.steps):
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * _schedule(step, stage)
        loss = loss_of_step(step)
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
            _save(checkpoint, network, optimizer, done)
    network.eval()


def _schedule(step: int, stage: Stage) -> float:
    """Linear warm-up, then half a cosine down to 2%."""
    if step < stage.warmup_steps:
        return (step + 1) / stage.warmup_steps
    progress = (step - stage.warmup_steps) / max(1, stage.steps - stage.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def _resume(path: Path, network: BertForSequenceClassification, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _save(
    path: Path,
    network: BertForSequenceClassification,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    partial = path.with_suffix(".partial")
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, partial)
    partial.replace(path)
