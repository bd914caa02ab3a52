from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from tests.training.samples import random_pairs
from training.network import sentence_vectors
from training.stages.comparison_layer import add_comparison_layer


@torch.no_grad()
def vary_token_norms(network: BertForSequenceClassification, deviation: float) -> None:
    tokens = network.bert.embeddings.word_embeddings.weight
    log_norms = deviation * np.random.default_rng(2).normal(size=(len(tokens), 1))
    tokens *= torch.from_numpy(np.exp(log_norms).astype(np.float32))


@torch.no_grad()
@pytest.mark.parametrize("deviation", [0.0, 0.7])
def test_the_hypothesis_does_not_change_the_states_of_the_text(deviation: float) -> None:
    """Also if the norms of token embeddings vary, as they do after long training."""
    network, texts, hypotheses, pairs = random_pairs(1)
    vary_token_norms(network, deviation)
    encoder = add_comparison_layer(network, texts, hypotheses, pairs).bert
    other_ids = torch.cat([pairs.ids[:, :20], pairs.ids[:, 20:].roll(1, dims=0)], dim=1)
    states, other_states = (
        encoder(
            input_ids=ids, token_type_ids=pairs.types, attention_mask=pairs.mask, output_hidden_states=True
        ).hidden_states
        for ids in (pairs.ids, other_ids)
    )
    for depth in range(3):
        torch.testing.assert_close(states[depth][:, :20], other_states[depth][:, :20], rtol=0, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("deviation", "min_correlation"), [(0.0, 0.9), (1.0, 0.75)])
def test_the_cross_encoder_starts_with_the_scores_of_the_bi_encoder(
    deviation: float, min_correlation: float
) -> None:
    """Also if the norms of token embeddings vary, as they do after long training."""
    network, texts, hypotheses, pairs = random_pairs(2)
    vary_token_norms(network, deviation)
    cross_encoder = add_comparison_layer(network, texts, hypotheses, pairs)
    logits = cross_encoder(input_ids=pairs.ids, token_type_ids=pairs.types, attention_mask=pairs.mask).logits
    cosines = (sentence_vectors(network, texts) * sentence_vectors(network, hypotheses)).sum(1)
    for column, sign in ((0, 1), (2, -1)):
        assert sign * torch.corrcoef(torch.stack([cosines, logits[:, column]]))[0, 1] > min_correlation
