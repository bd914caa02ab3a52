"""The network: a pretrained encoder for texts and hypotheses, and a layer on top that compares them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from engine.recipe import LABEL_ORDER
from engine.split_bert import SplitBertConfig, SplitBertForSequenceClassification, mean_direction
from training.data.batches import TokenBatch
from training.pretrained import Encoder

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
"""Columns of the logits, as in `engine.recipe.LABEL_ORDER`."""
RELATIONS = {name: column for column, name in enumerate(LABEL_ORDER)}
HEAD_SIZE = 64
"""Of the pretrained encoder, in BERT's proportions."""
SIMILARITY_SCALE = 30.0
"""Initial factor of the cosine in the logit for entailment, and of the cosines before a softmax."""
TYPICAL_COSINE = 0.3
"""Between a text and a wrong label, before training: there a pair is neither entailment nor contradiction."""


def build_network(encoder: Encoder) -> SplitBertForSequenceClassification:
    """A network whose logits are the cosine of text and hypothesis in `encoder`, until it is trained.

    The upper layer is a copy of the encoder's last one, and its classifier begins with zeros.
    """
    tokens, hidden = encoder.weights["embeddings.word_embeddings.weight"].shape
    layers = 1 + max(int(name.split(".")[2]) for name in encoder.weights if name.startswith("encoder.layer."))
    positions = len(encoder.weights["embeddings.position_embeddings.weight"])
    intermediate = len(encoder.weights["encoder.layer.0.intermediate.dense.weight"])
    network = SplitBertForSequenceClassification(
        SplitBertConfig(
            split_layers=layers,
            vocab_size=tokens,
            hidden_size=hidden,
            num_hidden_layers=layers + 1,
            num_attention_heads=hidden // HEAD_SIZE,
            intermediate_size=intermediate,
            max_position_embeddings=positions,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            num_labels=len(LABEL_ORDER),
        )
    )
    upper = {
        name.replace(f"layer.{layers - 1}.", f"layer.{layers}."): value
        for name, value in encoder.weights.items()
        if name.startswith(f"encoder.layer.{layers - 1}.")
    }
    network.bert.load_state_dict(encoder.weights | upper, strict=False)
    with torch.no_grad():
        for parameter in (network.similarity.weight, network.similarity.bias):
            parameter.zero_()
        network.similarity.weight[ENTAILMENT] = SIMILARITY_SCALE
        network.similarity.bias[ENTAILMENT] = -SIMILARITY_SCALE * TYPICAL_COSINE
        nn.init.zeros_(network.classifier.weight)
        nn.init.zeros_(network.classifier.bias)
    return network


def segment_vectors(network: SplitBertForSequenceClassification, batch: TokenBatch) -> Tensor:
    """Unit vectors `[n, hidden]` of texts or of hypotheses: the network as a bi-encoder."""
    return mean_direction(network.segment_states(batch.ids, batch.mask, batch.types).float(), batch.mask)


def frozen_copy(network: SplitBertForSequenceClassification) -> SplitBertForSequenceClassification:
    """A copy for a teacher, which is not trained."""
    teacher = copy.deepcopy(network)
    teacher.eval()
    teacher.requires_grad_(False)
    return teacher
