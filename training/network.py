"""The network, a BERT with the shape of StructBERT: its initialization, and its use as a bi-encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from training.data.batches import TokenBatch

MAX_TOKENS = 512
ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
"""Columns of the logits, as in ModelScope's zero_shot_classification_pipeline.py."""
RELATIONS = {"entailment": ENTAILMENT, "neutral": NEUTRAL, "contradiction": CONTRADICTION}
SEGMENT = -1
"""The hidden dimension that holds the segment of a token, text or hypothesis, and nothing else."""
SEGMENT_RATIO = 0.7
"""Initial segment embedding: plus or minus this share of the mean norm of the token embeddings."""
SEGMENT_GAIN, OTHER_GAIN = 2.6, 2.0
"""Initial weights of the layer norms, for the segment and for others: no layer may drown the segment."""
SEGMENT_PREFERENCE = 16.0
"""Nats by which attention initially prefers tokens of the same segment; more would favour some of these tokens."""
QUERY_KEY_GAIN = 0.4
"""Gain of queries and keys: with 2, tokens initially attend to themselves only, and hardly learn to see others."""
TYPICAL_TEXT_TOKENS = 36
"""Positions left free for a text before a hypothesis that is read alone."""


def build_network(
    vectors: NDArray[np.float32], *, layers: int, heads: int = 4, seed: int = 7
) -> BertForSequenceClassification:
    """A network with 3 logits whose token embeddings are `vectors` (`[tokens, hidden]`, float32).

    The initialization lets it learn from little data. Query and key of a layer are the same orthogonal matrix, so
    that attention is similarity of meaning, spread over several tokens, from the first step. Value and output
    matrices are close to half the identity, so that a layer averages similar tokens.

    The dimension `SEGMENT` holds the segment of a token, and the first dimension of each head reads nothing else,
    so that tokens attend to their own segment: text and hypothesis have the same states in one row as in two.
    """
    tokens, hidden = vectors.shape
    network = random_network(tokens, hidden, layers=layers, heads=heads, seed=seed)
    with torch.no_grad():
        embeddings = network.bert.embeddings
        embeddings.word_embeddings.weight.copy_(torch.from_numpy(vectors))
        embeddings.position_embeddings.weight.copy_(0.02 * _sinusoids(MAX_TOKENS, hidden))
        embeddings.token_type_embeddings.weight.zero_()
        for table in (embeddings.word_embeddings, embeddings.position_embeddings):
            table.weight[:, SEGMENT] = 0
        norm = embeddings.word_embeddings.weight.norm(dim=1).mean()
        embeddings.token_type_embeddings.weight[0, SEGMENT] = SEGMENT_RATIO * norm
        embeddings.token_type_embeddings.weight[1, SEGMENT] = -SEGMENT_RATIO * norm
        _set_gains(embeddings.LayerNorm)
        head_size = hidden // heads
        segment_state = SEGMENT_GAIN * (hidden / (1 + SEGMENT_RATIO**-2)) ** 0.5
        segment_weight = (SEGMENT_PREFERENCE / 2 * head_size**0.5) ** 0.5 / segment_state
        for layer in network.bert.encoder.layer:
            attention = layer.attention.self
            projection = torch.empty(hidden, hidden)
            nn.init.orthogonal_(projection, gain=QUERY_KEY_GAIN)
            projection[::head_size] = 0
            projection[::head_size, SEGMENT] = segment_weight
            attention.query.weight.copy_(projection)
            attention.key.weight.copy_(projection)
            half_identity = 0.5 * torch.eye(hidden)
            attention.value.weight.copy_(half_identity + 0.01 * torch.randn(hidden, hidden))
            layer.attention.output.dense.weight.copy_(half_identity + 0.01 * torch.randn(hidden, hidden))
            for output in (layer.attention.output, layer.output):
                output.dense.weight[SEGMENT] = 0
                _set_gains(output.LayerNorm)
    return network


def _set_gains(layer_norm: nn.LayerNorm) -> None:
    layer_norm.weight.fill_(OTHER_GAIN)
    layer_norm.weight[SEGMENT] = SEGMENT_GAIN


def random_network(
    tokens: int, hidden: int, *, layers: int, heads: int, seed: int = 7
) -> BertForSequenceClassification:
    """A network of this shape with the random weights of transformers' initialization."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokens,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=MAX_TOKENS,
        num_labels=3,
    )
    return BertForSequenceClassification(config)


def freeze_segments(network: BertForSequenceClassification, layers: int) -> None:
    """Zero the gradients of all weights of the lowest `layers` layers that write or read the segment dimension."""
    embeddings = network.bert.embeddings
    column_modules = [embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings]
    row_modules = [embeddings.LayerNorm]
    segment_rows = slice(None, None, network.config.hidden_size // network.config.num_attention_heads)
    for layer in network.bert.encoder.layer[:layers]:
        for output in (layer.attention.output, layer.output):
            row_modules += [output.dense, output.LayerNorm]
        for projection in (layer.attention.self.query, layer.attention.self.key):
            _freeze(projection.weight, segment_rows)
            _freeze(projection.bias, segment_rows)
    for module in column_modules:
        _freeze(module.weight, (slice(None), SEGMENT))
    for module in row_modules:
        _freeze(module.weight, SEGMENT)
        _freeze(module.bias, SEGMENT)


def _freeze(parameter: Tensor, index: Any) -> None:
    mask = torch.ones_like(parameter)
    mask[index] = 0
    parameter.register_hook(lambda gradient: gradient * mask)


def snapshot_config(network: BertForSequenceClassification) -> dict[str, object]:
    """The `config.json` of a snapshot with this network."""
    config = network.config
    names = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "max_position_embeddings",
        "type_vocab_size",
        "layer_norm_eps",
        "pad_token_id",
    )
    return {name: getattr(config, name) for name in names}


def sentence_vectors(network: BertForSequenceClassification, batch: TokenBatch) -> Tensor:
    """Unit vectors `[n, hidden]` of texts or of hypotheses: the network as a bi-encoder."""
    offset = int(torch.randint(2, 2 * TYPICAL_TEXT_TOKENS, ())) if network.training else TYPICAL_TEXT_TOKENS
    states = hidden_states(network, batch, offset)[-1]
    return nn.functional.normalize(mean_pool(states, batch.mask), dim=-1)


def hidden_states(
    network: BertForSequenceClassification, batch: TokenBatch, hypothesis_offset: int = 0
) -> tuple[Tensor, ...]:
    """Hidden states `[n, s, hidden]` after the embeddings and after every layer.

    `hypothesis_offset` is added to the positions of hypothesis tokens, as if a text of that length came first.
    """
    states: tuple[Tensor, ...] = network.bert(
        input_ids=batch.ids,
        token_type_ids=batch.types,
        attention_mask=batch.mask,
        position_ids=torch.arange(batch.types.shape[1]) + hypothesis_offset * batch.types,
        output_hidden_states=True,
    ).hidden_states
    return states


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean `[n, hidden]` of states `[n, s, hidden]` over the tokens of `mask`, without the segment dimension."""
    dimensions = torch.ones(states.shape[-1], dtype=states.dtype)
    dimensions[SEGMENT] = 0
    weights = mask.unsqueeze(-1) * dimensions
    return (states * weights).sum(1) / mask.sum(1, keepdim=True)


def _sinusoids(positions: int, hidden: int) -> Tensor:
    """Sinusoidal position embeddings `[positions, hidden]` (Vaswani et al. 2017, section 3.5)."""
    angles = torch.arange(positions).unsqueeze(1) / torch.pow(10_000.0, torch.arange(0, hidden, 2) / hidden)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
