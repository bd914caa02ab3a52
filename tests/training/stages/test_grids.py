from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from tests.training.corpus import TOPICS
from tests.training.samples import MAX_TOKENS, SmallTask, nli_task, no_log, recording, small_network, state_of
from training.data.batches import LengthSortedTask
from training.data.corpus import LabelledText, SentencePair
from training.loop import Stage, run_stage
from training.network import ENTAILMENT
from training.stages.grids import grid_logits, grid_loss
from training.stages.pairs import candidate_logits


@torch.no_grad()
def test_a_grid_has_the_logits_of_its_pairs(task: SmallTask) -> None:
    """With texts and hypotheses of different lengths, and an upper layer that counts."""
    network = small_network(task.tokens)
    for parameter in (network.classifier.weight, network.segment):
        torch.nn.init.normal_(parameter)
    texts, hypotheses = task.rows[:2] + task.rows[-2:], ["饭", "球类", "股市投资银行"]
    rows = [task.batcher.ids(hypothesis) for hypothesis in hypotheses]
    logits = grid_logits(network, task.batcher.texts(texts, MAX_TOKENS), task.batcher.hypotheses(rows, MAX_TOKENS))
    pairs = candidate_logits(network, task.batcher, texts, [hypotheses] * len(texts), MAX_TOKENS)
    torch.testing.assert_close(logits, pairs, rtol=0, atol=1e-4)
    assert logits[..., 2].std() > 0.01


def test_all_layers_learn_which_label_is_correct(task: SmallTask, tmp_path: Path) -> None:
    network = small_network(task.tokens)
    before = state_of(network)
    loss = grid_loss(network, task.batcher, {"tnews": task.tnews}, {"tnews": 1.0})

    run_stage(Stage("compare", 150, 3e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    labels = list(TOPICS)
    correct = [labels.index(e.label) for e in task.tnews.examples if isinstance(e, LabelledText)]
    hypotheses = task.batcher.hypotheses([task.batcher.ids(label) for label in labels], MAX_TOKENS)
    with torch.no_grad():
        logits = grid_logits(network, task.batcher.texts(task.rows, MAX_TOKENS), hypotheses)
    assert np.mean(logits[..., ENTAILMENT].argmax(1).numpy(force=True) == correct) > 0.9
    for name in (
        "bert.encoder.layer.0.output.dense.weight",
        "bert.encoder.layer.1.output.dense.weight",
        "segment",
    ):
        assert not torch.equal(network.state_dict()[name], before[name]), name


def test_the_relations_of_sentences_are_learned_from_pairs(task: SmallTask, tmp_path: Path) -> None:
    network = small_network(task.tokens)
    loss, losses = recording(grid_loss(network, task.batcher, {"nli": nli_task(task.batcher)}, {"nli": 1.0}))

    run_stage(Stage("compare", 100, 3e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.5 * np.log(2)


def test_a_grid_learns_which_sentences_belong_together(task: SmallTask, tmp_path: Path) -> None:
    network = small_network(task.tokens)
    rng = random.Random(8)
    texts = ["".join(rng.sample("".join(TOPICS.values()), 10)) for _ in range(60)]
    pairs = LengthSortedTask(
        [SentencePair(text[:5], text[3:], "entailment") for text in texts],
        task.batcher.encode_all([text[:5] for text in texts]),
    )
    loss, losses = recording(grid_loss(network, task.batcher, {"paraphrases": pairs}, {"paraphrases": 1.0}))

    run_stage(Stage("compare", 100, 3e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
