from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.corpus import TOPICS
from tests.training.samples import MAX_TOKENS, SmallTask, nli_task, no_log, recording, small_network
from training.loop import Stage, run_stage
from training.network import segment_vectors
from training.stages.bi_encoder import add_inference_head, bi_encoder_loss


def test_the_bi_encoder_learns_which_label_a_text_has(task: SmallTask, tmp_path: Path) -> None:
    network = small_network(task.tokens)
    loss, losses = recording(bi_encoder_loss(network, task.batcher, {"tnews": task.tnews}, {"tnews": 1.0}))

    run_stage(Stage("match", 60, 1e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_the_bi_encoder_learns_the_relations_of_sentences(task: SmallTask, tmp_path: Path) -> None:
    network = small_network(task.tokens, seed=7)
    add_inference_head(network)
    loss, losses = recording(bi_encoder_loss(network, task.batcher, {"nli": nli_task(task.batcher)}, {"nli": 1.0}))

    run_stage(Stage("match", 80, 1e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.5 * np.log(2)


def test_open_labels_keep_the_scores_of_the_pretrained_encoder(
    task: SmallTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The more they weigh, the closer a text stays to where it was among labels of no task."""
    texts = task.batcher.texts(task.rows, MAX_TOKENS)
    open_labels = task.batcher.hypotheses([task.batcher.ids(label) for label in TOPICS], MAX_TOKENS)
    changes = []
    for weight in (0.0, 50.0):
        monkeypatch.setattr("training.stages.bi_encoder.OPEN_LABEL_WEIGHT", weight)
        monkeypatch.setattr("training.stages.bi_encoder.OPEN_LABEL_SHARE", 1.0)
        network = small_network(task.tokens)
        with torch.no_grad():
            before = segment_vectors(network, texts) @ segment_vectors(network, open_labels).T
        loss = bi_encoder_loss(network, task.batcher, {"tnews": task.tnews}, {"tnews": 1.0})
        folder = tmp_path / str(weight)
        folder.mkdir()
        run_stage(Stage("match", 40, 1e-3, warmup_steps=5), network, loss, folder, no_log)
        with torch.no_grad():
            after = segment_vectors(network, texts) @ segment_vectors(network, open_labels).T
        changes.append(float((after - before).abs().mean()))
    assert changes[1] < 0.6 * changes[0]
