from __future__ import annotations

import pytest

from tests.training.samples import NO_WORDS, SmallTask, small_encoders
from training.data.batches import LengthSortedTask
from training.data.corpus import LabelledText
from training.stages.cross_encoder import Teacher, cross_encoder_loss


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_labels_of_texts_do_not_count_for_open_labels(
    share: float, task: SmallTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For open labels only the teacher's probabilities count; otherwise the labels do."""
    monkeypatch.setattr("training.stages.cross_encoder.OPEN_LABEL_SHARE", share)
    bi_encoder, cross_encoder = small_encoders(task)
    wrong_labels = {"球类": "钱财", "钱财": "饭菜", "饭菜": "球类"}
    wrong = [
        LabelledText(e.text, wrong_labels[e.label]) for e in task.tnews.examples if isinstance(e, LabelledText)
    ]
    losses = []
    for examples in (task.tnews.examples, wrong):
        tasks = {"tnews": LengthSortedTask(examples, task.tnews.tokens)} | NO_WORDS
        teacher = Teacher(bi_encoder, task.batcher)
        loss = cross_encoder_loss(cross_encoder, teacher, task.batcher, tasks, {"tnews": 1.0})
        losses.append(float(loss(0).detach()))
    assert (losses[0] == losses[1]) == (share == 1.0)
