from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.training.samples import SmallTask, no_log, recording, small_network
from training.loop import Stage, run_stage
from training.stages.distillation import distillation_loss


def test_the_student_learns_the_answers_of_its_teacher(task: SmallTask, tmp_path: Path) -> None:
    """Not the labels: the weights of the teacher are random."""
    teacher, student = small_network(task.tokens, seed=1), small_network(task.tokens, seed=2)
    torch.nn.init.normal_(teacher.classifier.weight)
    tasks, weights = {"tnews": task.tnews}, {"tnews": 1.0}
    loss, losses = recording(
        distillation_loss(student, teacher.eval(), task.batcher, task.batcher, tasks, weights)
    )
    teacher_loss = distillation_loss(teacher, teacher, task.batcher, task.batcher, tasks, weights)
    min_loss = np.mean([teacher_loss(step).item() for step in range(60)])

    run_stage(Stage("distil", 60, 1e-3, warmup_steps=5), student, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) - min_loss < 0.5 * (np.mean(losses[:10]) - min_loss)
