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

from engine.errors import SnapshotError, with_kind
from engine.model_config import CONFIG_FILE
from engine.recipe import MAX_TOKENS
from engine.snapshot import Snapshot
from engine.split_bert import register_split_bert

ATTENTION = "eager"
"""The implementation of which ONNX Runtime recognizes the operators."""
MAX_FAULTS = 5
"""Of the weights that are missing or of another shape, how many are named."""
MAX_REASON_CHARACTERS = 300
PROBE_TOKENS = 16
"""Of the row that every network must answer."""


def network_of(snapshot: Snapshot) -> PreTrainedModel:
    """The network with the snapshot's weights, in evaluation mode, which answers a row.

    `SnapshotError` names the weights that are missing or have another shape, or says why there is no network.
    """
    try:
        with warnings.catch_warnings():
            # Some networks are compiled with what torch has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            network, faults = _bert_network(snapshot) if snapshot.is_structbert else _auto_network(snapshot)
            if not faults:
                _check_answer(network)
    except Exception as error:  # noqa: BLE001 - the networks raise many kinds of errors for invalid entries
        raise SnapshotError(
            f"{CONFIG_FILE}: transformers cannot make the network: {_reason(error, snapshot.config)}"
        ) from None
    if faults:
        more = f"; and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
        raise SnapshotError("; ".join(faults[:MAX_FAULTS]) + more)
    return network


def _reason(error: Exception, config: dict[str, Any]) -> str:
    """What is wrong with `config.json`, in one line: of a name that is in no table, the entry that has it."""
    if isinstance(error, KeyError) and error.args:
        entries = [f"{name} is {value!r}" for name, value in config.items() if value == error.args[0]]
        if entries:
            return f"{', '.join(entries)}, which transformers does not know"
    # Some begin with the whole network; what is wrong with it comes last.
    return with_kind(error, " ".join(str(error).split())[-MAX_REASON_CHARACTERS:])


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


def _auto_network(snapshot: Snapshot) -> tuple[PreTrainedModel, list[str]]:
    """The network of the snapshot's architecture, and what is wrong with the weights."""
    options = {key: value for key, value in snapshot.config.items() if key != "model_type"}
    register_split_bert()
    config = AutoConfig.for_model(snapshot.architecture, **options)
    network, loading = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)].from_pretrained(
        None,
        config=config,
        state_dict=dict(snapshot.weights),
        attn_implementation=ATTENTION,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    faults = [f"{key} is missing" for key in loading["missing_keys"]]
    expected = network.state_dict()
    faults += [_shape_fault(key, snapshot.weights.get(key), expected[key]) for key in loading["mismatched_keys"]]
    return network.float().eval(), faults


def _bert_network(snapshot: Snapshot) -> tuple[PreTrainedModel, list[str]]:
    """As `_auto_network`, for StructBERT, which transformers does not know by name."""
    ignored = ("model_type", "id2label", "label2id")
    options: dict[str, Any] = {k: v for k, v in snapshot.config.items() if k not in ignored}
    options["num_labels"] = len(snapshot.logits)
    network = BertForSequenceClassification(BertConfig(**options, attn_implementation=ATTENTION))
    expected = network.state_dict()
    faults = [f"{key} is missing" for key in expected if key not in snapshot.weights]
    faults += [
        _shape_fault(key, snapshot.weights[key], value)
        for key, value in expected.items()
        if key in snapshot.weights and snapshot.weights[key].shape != value.shape
    ]
    if not faults:
        network.load_state_dict({key: snapshot.weights[key] for key in expected})
    return network.eval(), faults


def _shape_fault(key: str, stored: torch.Tensor | None, expected: torch.Tensor) -> str:
    """`stored`: None where transformers has renamed it."""
    shape = "another shape" if stored is None else f"shape {list(stored.shape)}"
    return f"{key} has {shape}, expected {list(expected.shape)}"


def _check_answer(network: PreTrainedModel) -> None:
    """Some entries fail only when a network runs."""
    ids = torch.ones((1, PROBE_TOKENS), dtype=torch.int64)
    with torch.inference_mode():
        network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.numpy()
