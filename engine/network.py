"""Makes the PyTorch network of a snapshot."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
)

from engine.errors import SnapshotError
from engine.recipe import MAX_TOKENS
from engine.snapshot import Snapshot
from engine.split_bert import register_split_bert

ATTENTION = "eager"
"""The implementation of which ONNX Runtime recognizes the operators."""
MAX_FAULTS = 5
"""Of the weights that are missing or of another shape, how many are named."""


def network_of(snapshot: Snapshot) -> PreTrainedModel:
    """The network with the snapshot's weights, in evaluation mode.

    `SnapshotError` names the weights that are missing or have another shape.
    """
    if snapshot.is_structbert:
        return _bert_network(snapshot)
    options = {key: value for key, value in snapshot.config.items() if key not in ("model_type", "torch_dtype")}
    register_split_bert()
    config = AutoConfig.for_model(snapshot.architecture, **options)
    try:
        with warnings.catch_warnings():
            # Some networks are compiled with what torch has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            network, loading = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)].from_pretrained(
                None,
                config=config,
                state_dict=dict(snapshot.weights),
                attn_implementation=ATTENTION,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (ValueError, RuntimeError, KeyError) as error:
        raise SnapshotError(f"transformers cannot load the weights: {error}") from None
    faults = [f"{key} is missing" for key in loading["missing_keys"]]
    faults += [
        f"{key} has shape {list(stored)}, expected {list(expected)}"
        for key, stored, expected in loading["mismatched_keys"]
    ]
    _refuse(faults)
    result: PreTrainedModel = network.float().eval()
    return result


def arrays_of(network: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copies of the network's floating-point weights by name, float32; integer buffers are left out."""
    return {
        key: value.detach().numpy().copy()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }


def max_tokens_of(snapshot: Snapshot, network: PreTrainedModel) -> int:
    """The longest pair that the network takes, in tokens, at most `MAX_TOKENS`.

    RoBERTa's kind begins to count positions behind the padding's, so it has fewer than its table has rows.
    """
    positions = int(snapshot.config["max_position_embeddings"])
    for module in network.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
            positions -= table.padding_idx + 1
            break
    return min(positions, MAX_TOKENS)


def token_types_of(snapshot: Snapshot) -> int:
    """How many token types the network tells apart: 2, or 1 where it takes none."""
    return 2 if int(snapshot.config.get("type_vocab_size", 0 if _ignores_types(snapshot) else 2)) > 1 else 1


def _ignores_types(snapshot: Snapshot) -> bool:
    return snapshot.architecture in ("roberta", "xlm-roberta", "deberta-v2", "modernbert")


def _bert_network(snapshot: Snapshot) -> BertForSequenceClassification:
    ignored = ("model_type", "id2label", "label2id", "torch_dtype")
    options: dict[str, Any] = {k: v for k, v in snapshot.config.items() if k not in ignored}
    options["num_labels"] = len(snapshot.logits)
    network = BertForSequenceClassification(BertConfig(**options, attn_implementation=ATTENTION))
    expected = network.state_dict()
    faults = [f"{key} is missing" for key in expected if key not in snapshot.weights]
    faults += [
        f"{key} has shape {list(snapshot.weights[key].shape)}, expected {list(value.shape)}"
        for key, value in expected.items()
        if key in snapshot.weights and snapshot.weights[key].shape != value.shape
    ]
    _refuse(faults)
    network.load_state_dict({key: snapshot.weights[key] for key in expected})
    return network.eval()


def _refuse(faults: list[str]) -> None:
    if faults:
        more = f"; and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
        raise SnapshotError("; ".join(faults[:MAX_FAULTS]) + more)
