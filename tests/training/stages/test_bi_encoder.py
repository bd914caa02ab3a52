from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.training.corpus import TOPICS
from tests.training.samples import SmallTask, nli_task, no_log, recording, small_bi_encoder
from training.loop import Stage, run_stage
from training.network import build_network
from training.stages.bi_encoder import add_inference_head, bi_encoder_loss


def test_the_bi_encoder_learns_which_label_a_text_has(task: SmallTask, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(0, 1, (task.vocabulary, 32)).astype(np.float32)
    network = build_network(vectors, layers=1, heads=2)
    loss, losses = recording(bi_encoder_loss(network, task.batcher, {"tnews": task.tnews}, {"tnews": 1.0}))

    run_stage(Stage("match", 60, 3e-4, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.5 * np.log(len(TOPICS))


def test_the_bi_encoder_learns_the_relations_of_sentences(task: SmallTask, tmp_path: Path) -> None:
    network = small_bi_encoder(task.vocabulary, seed=7)
    add_inference_head(network)
    loss, losses = recording(bi_encoder_loss(network, task.batcher, {"nli": nli_task(task.batcher)}, {"nli": 1.0}))

    run_stage(Stage("match", 80, 1e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.5 * np.log(2)
