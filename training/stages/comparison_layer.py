"""Between the stages: a cross-encoder that begins as the bi-encoder.

Every layer of the bi-encoder keeps to its segment (network.py), here even more than while it learned, so text and
hypothesis have the states in one row that they had in two. One more layer is built, not learned, to compare them.
Half of its heads read the mean of the hypothesis and half that of the text, in a subspace that both live in; its
units add and subtract the two and bend the result, and (a + b)² - (a - b)² = 4ab, so the first token ends up
knowing their dot product. What is trained afterwards starts from there instead of from chance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.network import SEGMENT, Rows, empty_network, mean_of_states, states_of

PARTED = 4.0
"""So much more than while it learned does a token prefer its own segment, or texts would tinge some hypotheses."""
ONE_SEGMENT = 3.0
"""Nats by which a head prefers the segment that it reads; with more the token that says most stands for all."""
LOUDER = 24.0
"""The means over the first token's own state, which says nothing of the hypothesis."""
BENT = 0.25
"""Sums and differences are of size 1; GELU of so much less of them is nearly quadratic."""
SPREAD = 8.0
"""Standard deviation of what the first token says, beside its length of the root of `hidden`."""


@torch.no_grad()
def comparing(
    network: BertForSequenceClassification, texts: Rows, said: Rows, pairs: Rows
) -> BertForSequenceClassification:
    """`network` with a layer more whose first token says how alike text and hypothesis are, and logits of it.

    `texts` and `said` are samples of what is asked, apart, and `pairs` together: their states say which subspace
    they live in and how far they spread.
    """
    config = network.config
    hidden, heads, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
    deeper = empty_network(config.vocab_size, hidden, layers=layers + 1, heads=heads)
    deeper.load_state_dict(network.state_dict(), strict=False)
    deeper.eval()
    width = hidden // heads
    for layer in deeper.bert.encoder.layer[:layers]:
        for projection in (layer.attention.self.query, layer.attention.self.key):
            projection.weight[::width] *= PARTED**0.5
    of_texts, of_said = (states_of(deeper, rows)[layers] for rows in (texts, said))
    means_of_texts, means_of_said = mean_of_states(of_texts, texts[2]), mean_of_states(of_said, said[2])
    louder_text = means_of_said.norm(dim=1).mean() / means_of_texts.norm(dim=1).mean()
    half = hidden // 2
    subspace = torch.zeros(half, hidden)
    # The last row stays empty in both halves: there the answer is written.
    subspace[:-1] = _shared_subspace(torch.cat([means_of_texts * louder_text, means_of_said]), half - 1)

    layer = deeper.bert.encoder.layer[layers]
    attention = layer.attention.self
    marks = [_mark(states, rows[2]) for states, rows in ((of_texts, texts), (of_said, said))]
    look = ONE_SEGMENT * width**0.5 / (marks[0] - marks[1])
    nn.init.normal_(attention.query.weight, std=0.02)
    for parameter in (attention.query.bias, attention.key.weight, attention.key.bias, attention.value.bias):
        parameter.zero_()
    attention.query.weight[::width] = 0  # Every first token asks alike for its segments.
    attention.query.bias[::width] = 1.0
    for head in range(heads):
        towards = -look if head < heads // 2 else look
        attention.key.weight[head * width, SEGMENT] = towards
        attention.key.bias[head * width] = -towards * (marks[0] + marks[1]) / 2
    attention.value.weight.copy_(torch.cat([subspace, louder_text * subspace]))
    layer.attention.output.dense.weight.copy_(LOUDER * torch.eye(hidden))
    layer.attention.output.dense.bias.zero_()

    both = torch.eye(half)
    sums, differences = torch.cat([both, both], dim=1), torch.cat([both, -both], dim=1)
    units = layer.intermediate.dense
    nn.init.normal_(units.weight, std=0.02)
    units.bias.zero_()
    units.weight[: 4 * half] = BENT * torch.cat([sums, -sums, differences, -differences])
    answer = torch.zeros(hidden)
    answer[half - 1], answer[hidden - 1] = 0.5**0.5, -(0.5**0.5)
    signs = torch.cat([torch.ones(2 * half), -torch.ones(2 * half)])
    likeness = _units_of_first_token(deeper, pairs)[:, : 4 * half] @ signs
    gain = SPREAD / likeness.std()
    out = layer.output.dense
    nn.init.normal_(out.weight, std=0.005)
    out.weight[:, : 4 * half] = gain * torch.outer(answer, signs)
    out.bias.copy_(-gain * likeness.mean() * answer)

    pooler, classifier = deeper.bert.pooler.dense, deeper.classifier
    nn.init.normal_(pooler.weight, std=0.005)
    pooler.bias.zero_()
    pooler.weight[0] = answer / SPREAD
    nn.init.normal_(classifier.weight, std=0.01)
    classifier.bias.zero_()
    classifier.weight[:, 0] = torch.tensor([3.0, 0.0, -3.0])
    return deeper


def _mark(states: Tensor, mask: Tensor) -> Tensor:
    return states[mask.bool()][:, SEGMENT].mean()


def _shared_subspace(vectors: Tensor, size: int) -> Tensor:
    """`[size, hidden]`: where most of the vectors' length is, turned so that no direction has more than others."""
    _values, directions = torch.linalg.eigh(vectors.T @ vectors / len(vectors))
    turn = torch.empty(size, size)
    nn.init.orthogonal_(turn)
    return turn @ directions[:, -size:].T


def _units_of_first_token(network: BertForSequenceClassification, pairs: Rows) -> Tensor:
    seen: list[Tensor] = []
    units = network.bert.encoder.layer[-1].intermediate
    handle = units.register_forward_hook(lambda _module, _given, made: seen.append(made[:, 0]))
    states_of(network, pairs)
    handle.remove()
    return seen[0]
