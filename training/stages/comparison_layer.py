"""Turns the bi-encoder into a cross-encoder by computing one more layer, which compares text and hypothesis.

In the layers of the bi-encoder tokens attend to their own segment (network.py), here even more than during its
training, so text and hypothesis have the same states in one row as in two. In the comparison layer half of the
heads read the mean of the hypothesis and half the mean of the text, in a subspace that is common to both. Its
hidden units pass sums and differences of the two through a nearly quadratic activation. As (a + b)² - (a - b)² =
4ab, they add up to the dot product, from which the logits are computed: the cross-encoder starts with the ranking
of the bi-encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.data.batches import TokenBatch
from training.network import SEGMENT, hidden_states, mean_pool, random_network

SEPARATION_FACTOR = 4.0
"""Increase of the preference for the same segment, so that no text influences the states of a hypothesis."""
HEAD_SEGMENT_PREFERENCE = 3.0
"""Nats by which a head prefers its segment; more would let the tokens with the largest segment states dominate."""
MEAN_GAIN = 24.0
"""Weight of the means against the state of the first token, which knows nothing of the hypothesis."""
UNIT_GAIN = 0.25
"""Scale of sums and differences, which have size 1, before GELU: this small, it is nearly quadratic."""
SIMILARITY_DEVIATION = 8.0
"""Standard deviation of the similarity in the first token's state, whose norm is the square root of `hidden`."""


@torch.no_grad()
def add_comparison_layer(
    network: BertForSequenceClassification, texts: TokenBatch, hypotheses: TokenBatch, pairs: TokenBatch
) -> BertForSequenceClassification:
    """A copy of `network` with a comparison layer, and with logits computed from it.

    `texts` and `hypotheses` are samples of the tasks, and `pairs` the same in one row each: their states determine
    the common subspace, and the scale of the similarity.
    """
    config = network.config
    hidden, heads, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
    deeper = random_network(config.vocab_size, hidden, layers=layers + 1, heads=heads)
    deeper.load_state_dict(network.state_dict(), strict=False)
    deeper.eval()
    head_size = hidden // heads
    for layer in deeper.bert.encoder.layer[:layers]:
        for projection in (layer.attention.self.query, layer.attention.self.key):
            projection.weight[::head_size] *= SEPARATION_FACTOR**0.5
    text_states, hypothesis_states = (hidden_states(deeper, batch)[layers] for batch in (texts, hypotheses))
    text_means = mean_pool(text_states, texts.mask)
    hypothesis_means = mean_pool(hypothesis_states, hypotheses.mask)
    text_gain = hypothesis_means.norm(dim=1).mean() / text_means.norm(dim=1).mean()
    half = hidden // 2
    subspace = torch.zeros(half, hidden)
    # The last row of both halves stays zero: the similarity is written there.
    subspace[:-1] = _common_subspace(torch.cat([text_means * text_gain, hypothesis_means]), half - 1)

    layer = deeper.bert.encoder.layer[layers]
    attention = layer.attention.self
    text_segment = _mean_segment_state(text_states, texts.mask)
    hypothesis_segment = _mean_segment_state(hypothesis_states, hypotheses.mask)
    segment_weight = HEAD_SEGMENT_PREFERENCE * head_size**0.5 / (text_segment - hypothesis_segment)
    nn.init.normal_(attention.query.weight, std=0.02)
    for parameter in (attention.query.bias, attention.key.weight, attention.key.bias, attention.value.bias):
        parameter.zero_()
    attention.query.weight[::head_size] = 0  # The preference for a segment is the same for every token.
    attention.query.bias[::head_size] = 1.0
    for head in range(heads):
        weight = -segment_weight if head < heads // 2 else segment_weight
        attention.key.weight[head * head_size, SEGMENT] = weight
        attention.key.bias[head * head_size] = -weight * (text_segment + hypothesis_segment) / 2
    attention.value.weight.copy_(torch.cat([subspace, text_gain * subspace]))
    layer.attention.output.dense.weight.copy_(MEAN_GAIN * torch.eye(hidden))
    layer.attention.output.dense.bias.zero_()

    identity = torch.eye(half)
    sums, differences = torch.cat([identity, identity], dim=1), torch.cat([identity, -identity], dim=1)
    units = layer.intermediate.dense
    nn.init.normal_(units.weight, std=0.02)
    units.bias.zero_()
    units.weight[: 4 * half] = UNIT_GAIN * torch.cat([sums, -sums, differences, -differences])
    direction = torch.zeros(hidden)
    direction[half - 1], direction[hidden - 1] = 0.5**0.5, -(0.5**0.5)
    signs = torch.cat([torch.ones(2 * half), -torch.ones(2 * half)])
    similarity = _first_token_units(deeper, pairs)[:, : 4 * half] @ signs
    gain = SIMILARITY_DEVIATION / similarity.std()
    output = layer.output.dense
    nn.init.normal_(output.weight, std=0.005)
    output.weight[:, : 4 * half] = gain * torch.outer(direction, signs)
    output.bias.copy_(-gain * similarity.mean() * direction)

    pooler, classifier = deeper.bert.pooler.dense, deeper.classifier
    nn.init.normal_(pooler.weight, std=0.005)
    pooler.bias.zero_()
    pooler.weight[0] = direction / SIMILARITY_DEVIATION
    nn.init.normal_(classifier.weight, std=0.01)
    classifier.bias.zero_()
    classifier.weight[:, 0] = torch.tensor([3.0, 0.0, -3.0])
    return deeper


def _mean_segment_state(states: Tensor, mask: Tensor) -> Tensor:
    return states[mask.bool()][:, SEGMENT].mean()


def _common_subspace(vectors: Tensor, size: int) -> Tensor:
    """Principal directions `[size, hidden]` of the vectors, rotated at random to spread their variance evenly."""
    _eigenvalues, directions = torch.linalg.eigh(vectors.T @ vectors / len(vectors))
    rotation = torch.empty(size, size)
    nn.init.orthogonal_(rotation)
    return rotation @ directions[:, -size:].T


def _first_token_units(network: BertForSequenceClassification, pairs: TokenBatch) -> Tensor:
    """Activations `[n, units]` of the last layer's hidden units for the first token of each pair."""
    outputs: list[Tensor] = []
    units = network.bert.encoder.layer[-1].intermediate
    handle = units.register_forward_hook(lambda _module, _inputs, output: outputs.append(output[:, 0]))
    hidden_states(network, pairs)
    handle.remove()
    return outputs[0]
