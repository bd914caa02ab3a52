from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.training.samples import no_log, random_pairs, state_of
from training.loop import Stage, run_stage
from training.network import SEGMENT, build_network, freeze_segments, sentence_vectors


@torch.no_grad()
def test_tokens_initially_attend_to_several_tokens_of_their_segment_only() -> None:
    vectors = np.random.default_rng(4).normal(0, 1, (400, 256)).astype(np.float32)
    network = build_network(vectors, layers=3).eval()
    network.set_attn_implementation("eager")
    ids = torch.arange(5, 29).repeat(2, 1)
    types = (torch.arange(24) >= 18).long().repeat(2, 1)
    same_segment = types[:, None, :, None] == types[:, None, None, :]
    for attention in network.bert(input_ids=ids, token_type_ids=types, output_attentions=True).attentions:
        assert attention.max(dim=-1).values.mean() < 0.9
        assert (attention * ~same_segment).sum(-1).max() < 1e-4


def test_training_does_not_change_the_frozen_segment_dimension(tmp_path: Path) -> None:
    network, texts, hypotheses, _ = random_pairs(3)
    freeze_segments(network, 2)
    before = state_of(network)

    def loss(step: int) -> Tensor:
        return -(sentence_vectors(network, texts) * sentence_vectors(network, hypotheses)).sum(1).mean()

    run_stage(Stage("stage", 5, 1e-2, warmup_steps=1), network, loss, tmp_path, no_log)
    after = network.state_dict()
    for name, value in before.items():
        if "embeddings.weight" in name:
            torch.testing.assert_close(after[name][:, SEGMENT], value[:, SEGMENT], rtol=1e-3, atol=0)
            assert not torch.equal(after[name], value)
        elif "output" in name:
            torch.testing.assert_close(after[name][SEGMENT], value[SEGMENT])
        elif "query" in name or "key" in name:
            torch.testing.assert_close(after[name][::16], value[::16], rtol=1e-3, atol=0)
