from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.training.corpus import TOPICS
from tests.training.samples import (
    MAX_TOKENS,
    NO_WORDS,
    SmallTask,
    nli_task,
    no_log,
    random_pairs,
    recording,
    small_encoders,
    state_of,
)
from training.data.batches import LengthSortedTask, TokenBatch
from training.data.corpus import LabelledText, SentencePair
from training.loop import Stage, run_stage
from training.network import SEGMENT, freeze_segments
from training.stages.comparison_layer import add_comparison_layer
from training.stages.cross_encoder import Teacher
from training.stages.grids import IMITATE, RANK, grid_logits, grid_loss, last_layer_only


class UndecidedTeacher(Teacher):
    """Scores all hypotheses alike."""

    def scores(self, text_vectors: Tensor, hypotheses: list[str]) -> Tensor:
        return torch.zeros(len(text_vectors), len(hypotheses))


@torch.no_grad()
def test_a_grid_has_the_logits_of_its_pairs() -> None:
    """With hypotheses of different lengths."""
    network, texts, hypotheses, pairs = random_pairs(4)
    cross_encoder = add_comparison_layer(network, texts, hypotheses, pairs).eval()
    n = 5
    texts, hypotheses = (TokenBatch(*(part[:n].clone() for part in batch)) for batch in (texts, hypotheses))
    hypotheses.mask[0, 3:] = 0
    ids, types, mask = (
        torch.cat([a.repeat_interleave(n, dim=0), b.repeat(n, 1)], dim=1)
        for a, b in zip(texts, hypotheses, strict=True)
    )
    pair_logits = cross_encoder(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    logits = grid_logits(cross_encoder, texts, hypotheses)
    torch.testing.assert_close(logits, pair_logits.view(n, n, 3), rtol=0, atol=2e-3)
    assert logits.std(dim=1).max() > 0.1


def test_the_comparison_layer_learns_to_imitate_the_bi_encoder(task: SmallTask, tmp_path: Path) -> None:
    """And no other layer changes."""
    bi_encoder, network = small_encoders(task)
    before = state_of(network)
    tasks = {"tnews": task.tnews} | NO_WORDS
    teacher = Teacher(bi_encoder, task.batcher)
    loss, losses = recording(grid_loss(IMITATE, network, teacher, task.batcher, tasks, {"tnews": 1.0}))

    with last_layer_only(network):
        run_stage(Stage("imitate", 100, 3e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    labels = list(TOPICS)
    hypotheses = task.batcher.hypotheses([task.batcher.ids(label) for label in labels], MAX_TOKENS)
    logits = grid_logits(network, task.batcher.texts(task.rows, MAX_TOKENS), hypotheses)
    scores = torch.stack([logits[..., 0], teacher.scores(teacher.encode_texts(task.rows), labels)])
    scores = scores - scores.mean(2, keepdim=True)
    assert torch.corrcoef(scores.flatten(1))[0, 1] > 0.8
    for name, value in network.state_dict().items():
        in_last_layer = any(part in name for part in ("layer.1.", "pooler", "classifier"))
        assert torch.equal(value, before[name]) != in_last_layer or name.endswith("key.bias"), name
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_comparison_layer_learns_the_relations_of_sentences(task: SmallTask, tmp_path: Path) -> None:
    bi_encoder, network = small_encoders(task)
    before = state_of(network)
    tasks = {"nli": nli_task(task.batcher)} | NO_WORDS
    teacher = Teacher(bi_encoder, task.batcher)
    loss, losses = recording(grid_loss(IMITATE, network, teacher, task.batcher, tasks, {"nli": 1.0}))

    with last_layer_only(network):
        run_stage(Stage("imitate", 100, 3e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.5 * np.log(2)
    for name in bi_encoder.state_dict():
        if name.startswith(("bert.embeddings", "bert.encoder")):
            assert torch.equal(before[name], network.state_dict()[name]), name


def test_all_layers_learn_which_label_is_correct(task: SmallTask, tmp_path: Path) -> None:
    """An undecided teacher softens the labels, but does not replace them."""
    bi_encoder, network = small_encoders(task)
    freeze_segments(network, 1)
    before = state_of(network)
    tasks = {"tnews": task.tnews} | NO_WORDS
    teacher = UndecidedTeacher(bi_encoder, task.batcher)
    loss = grid_loss(RANK, network, teacher, task.batcher, tasks, {"tnews": 1.0})

    run_stage(Stage("rank", 180, 3e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    labels = list(TOPICS)
    correct = [labels.index(e.label) for e in task.tnews.examples if isinstance(e, LabelledText)]
    hypotheses = task.batcher.hypotheses([task.batcher.ids(label) for label in labels], MAX_TOKENS)
    logits = grid_logits(network, task.batcher.texts(task.rows, MAX_TOKENS), hypotheses)
    assert np.mean(logits[..., 0].argmax(1).numpy(force=True) == correct) > 0.9
    for part in ("attention.self.query", "attention.output.dense", "output.dense"):
        name = f"bert.encoder.layer.0.{part}.weight"
        assert not torch.equal(network.state_dict()[name], before[name]), name
    gains = "bert.encoder.layer.0.output.LayerNorm.weight"
    assert network.state_dict()[gains][SEGMENT] == before[gains][SEGMENT]


def test_a_grid_learns_which_sentences_belong_together(task: SmallTask, tmp_path: Path) -> None:
    bi_encoder, network = small_encoders(task)
    rng = random.Random(8)
    texts = ["".join(rng.sample("".join(TOPICS.values()), 10)) for _ in range(60)]
    pairs = LengthSortedTask(
        [SentencePair(text[:5], text[3:], "entailment") for text in texts],
        task.batcher.encode_all([text[:5] for text in texts]),
    )
    tasks = {"paraphrases": pairs} | NO_WORDS
    teacher = Teacher(bi_encoder, task.batcher)
    loss, losses = recording(grid_loss(RANK, network, teacher, task.batcher, tasks, {"paraphrases": 1.0}))

    run_stage(Stage("rank", 60, 3e-3, warmup_steps=5), network, loss, tmp_path, no_log)
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
