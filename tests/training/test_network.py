from __future__ import annotations

import torch

from tests.training.samples import MAX_TOKENS, SmallTask, small_network
from training.network import ENTAILMENT, SIMILARITY_SCALE, TYPICAL_COSINE, segment_vectors


@torch.no_grad()
def test_the_logits_begin_as_the_cosine_of_text_and_hypothesis_alone(task: SmallTask) -> None:
    network = small_network(task.tokens)
    hypotheses = [task.batcher.ids(label) for label in ("球类", "钱财的", "饭")] * 20
    rows = task.rows[: len(hypotheses)]
    hypotheses = hypotheses[: len(rows)]
    pairs = task.batcher.pairs(rows, hypotheses, MAX_TOKENS)
    logits = network(input_ids=pairs.ids, token_type_ids=pairs.types, attention_mask=pairs.mask).logits
    vectors = (
        segment_vectors(network, batch)
        for batch in (task.batcher.texts(rows, MAX_TOKENS), task.batcher.hypotheses(hypotheses, MAX_TOKENS))
    )
    cosines = torch.stack(list(vectors)).prod(0).sum(1)
    torch.testing.assert_close(
        logits[:, ENTAILMENT], SIMILARITY_SCALE * (cosines - TYPICAL_COSINE), rtol=0, atol=1e-4
    )
    assert cosines.std() > 0.01
    assert not logits[:, 1:].any()


@torch.no_grad()
def test_a_hypothesis_does_not_change_the_states_of_its_text(task: SmallTask) -> None:
    network = small_network(task.tokens)
    states = []
    for hypothesis in ("球类", "饭菜比赛股市"):
        pairs = task.batcher.pairs(task.rows[:1], [task.batcher.ids(hypothesis)], MAX_TOKENS)
        states.append(network.segment_states(pairs.ids, pairs.mask, pairs.types)[0, : len(task.rows[0]) + 2])
    torch.testing.assert_close(*states, rtol=0, atol=1e-5)
