"""The StructBERT-shaped network and its start. Knows nothing about data or training steps."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

MAX_TOKENS = 512
ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
"""ModelScope's order of the three logits (zero_shot_classification_pipeline.py)."""
RELATIONS = {"entailment": ENTAILMENT, "neutral": NEUTRAL, "contradiction": CONTRADICTION}
SEGMENT = -1
"""The dimension that says which segment a token is of; nothing else is written there."""
SEGMENT_SHARE = 0.7
"""Of a token's own length: so far are the segments from the middle, at first."""
SEGMENT_GAIN, OTHER_GAIN = 2.6, 2.0
"""Of each layer norm, for the segment and for the rest: else what each layer adds would drown the segment."""
OWN_SEGMENT = 16.0
"""Nats by which attention prefers a token's own segment, at first; more would also prefer some tokens of it."""
SHARPNESS = 0.4
"""Gain of query and key: with 2 a token begins to see itself alone and hardly ever learns to see others."""
USUAL_TEXT = 36

Rows = tuple[Tensor, Tensor, Tensor]
"""ids, token types, mask, `[n, s]` int64."""


def build_network(
    vectors: NDArray, *, layers: int, heads: int = 4, seed: int = 7
) -> BertForSequenceClassification:
    """A cross-encoder with 3 logits over `vectors` (`[tokens, hidden]`, float32).

    The start that learns on small data: token embeddings from word2vec; query and key of every layer are one
    orthogonal matrix, so attention is similarity of meaning from the first step, and spread over several tokens;
    value and output near half the identity, so a layer first averages what is alike.

    The last dimension says which segment a token is of, and the first of each head looks at nothing else: a token
    attends to its own segment, so a text and a hypothesis read together get the states that they have alone.
    """
    tokens, hidden = vectors.shape
    network = empty_network(tokens, hidden, layers=layers, heads=heads, seed=seed)
    with torch.no_grad():
        embeddings = network.bert.embeddings
        embeddings.word_embeddings.weight.copy_(torch.from_numpy(vectors))
        embeddings.position_embeddings.weight.copy_(0.02 * _sinusoids(MAX_TOKENS, hidden))
        embeddings.token_type_embeddings.weight.zero_()
        for table in (embeddings.word_embeddings, embeddings.position_embeddings):
            table.weight[:, SEGMENT] = 0
        length = embeddings.word_embeddings.weight.norm(dim=1).mean()
        embeddings.token_type_embeddings.weight[0, SEGMENT] = SEGMENT_SHARE * length
        embeddings.token_type_embeddings.weight[1, SEGMENT] = -SEGMENT_SHARE * length
        _scale(embeddings.LayerNorm)
        width = hidden // heads
        mark = SEGMENT_GAIN * (hidden / (1 + SEGMENT_SHARE**-2)) ** 0.5
        look = (OWN_SEGMENT / 2 * width**0.5) ** 0.5 / mark
        for layer in network.bert.encoder.layer:
            attention = layer.attention.self
            shared = torch.empty(hidden, hidden)
            nn.init.orthogonal_(shared, gain=SHARPNESS)
            shared[::width] = 0
            shared[::width, SEGMENT] = look
            attention.query.weight.copy_(shared)
            attention.key.weight.copy_(shared)
            half = 0.5 * torch.eye(hidden)
            attention.value.weight.copy_(half + 0.01 * torch.randn(hidden, hidden))
            layer.attention.output.dense.weight.copy_(half + 0.01 * torch.randn(hidden, hidden))
            for part in (layer.attention.output, layer.output):
                part.dense.weight[SEGMENT] = 0
                _scale(part.LayerNorm)
    return network


def _scale(norm: nn.LayerNorm) -> None:
    norm.weight.fill_(OTHER_GAIN)
    norm.weight[SEGMENT] = SEGMENT_GAIN


def empty_network(
    tokens: int, hidden: int, *, layers: int, heads: int, seed: int = 7
) -> BertForSequenceClassification:
    """The shape with random weights."""
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


def keep_segments(network: BertForSequenceClassification, layers: int) -> None:
    """Let no gradient reach what the last dimension says in the lowest `layers` layers, nor what looks at it."""
    embeddings = network.bert.embeddings
    by_column = [embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings]
    by_row = [embeddings.LayerNorm]
    looking = slice(None, None, network.config.hidden_size // network.config.num_attention_heads)
    for layer in network.bert.encoder.layer[:layers]:
        for part in (layer.attention.output, layer.output):
            by_row += [part.dense, part.LayerNorm]
        for projection in (layer.attention.self.query, layer.attention.self.key):
            _fix(projection.weight, looking)
            _fix(projection.bias, looking)
    for module in by_column:
        _fix(module.weight, (slice(None), SEGMENT))
    for module in by_row:
        _fix(module.weight, SEGMENT)
        _fix(module.bias, SEGMENT)


def _fix(parameter: Tensor, part: Any) -> None:
    kept = torch.ones_like(parameter)
    kept[part] = 0
    parameter.register_hook(lambda gradient: gradient * kept)


def config_of(network: BertForSequenceClassification) -> dict[str, object]:
    """The numbers that `config.json` of a snapshot needs to build this network again."""
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


def mean_of_tokens(network: BertForSequenceClassification, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
    """Unit vectors `[n, hidden]` of texts (`types` all 0) or hypotheses (all 1), `[n, s]` int64: a bi-encoder."""
    behind = int(torch.randint(2, 2 * USUAL_TEXT, ())) if network.training else USUAL_TEXT
    states = states_of(network, (ids, types, mask), behind)[-1]
    return nn.functional.normalize(mean_of_states(states, mask), dim=-1)


def states_of(network: BertForSequenceClassification, rows: Rows, behind: int = 0) -> tuple[Tensor, ...]:
    """Hidden states `[n, s, hidden]` of every layer; a hypothesis read alone stands `behind` so many tokens."""
    ids, types, mask = rows
    states: tuple[Tensor, ...] = network.bert(
        input_ids=ids,
        token_type_ids=types,
        attention_mask=mask,
        position_ids=torch.arange(types.shape[1]) + behind * types,
        output_hidden_states=True,
    ).hidden_states
    return states


def _all_but_segment(states: Tensor) -> Tensor:
    kept = torch.ones(states.shape[-1], dtype=states.dtype)
    kept[SEGMENT] = 0
    return kept


def mean_of_states(states: Tensor, mask: Tensor) -> Tensor:
    """`[n, hidden]`: the mean of the states that `mask` marks; which segment they are of does not count."""
    weights = mask.unsqueeze(-1) * _all_but_segment(states)
    return (states * weights).sum(1) / mask.sum(1, keepdim=True)


def _sinusoids(positions: int, hidden: int) -> Tensor:
    """Sinusoidal position vectors (Vaswani et al. 2017, section 3.5), `[positions, hidden]`."""
    angles = torch.arange(positions).unsqueeze(1) / torch.pow(10_000.0, torch.arange(0, hidden, 2) / hidden)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
