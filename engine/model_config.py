"""Reads `config.json` of a snapshot, without what does not change the logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import SnapshotError
from engine.snapshot_files import read_json

CONFIG_FILE = "config.json"
RUNTIME_ENTRIES = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_attn_implementation_internal",
        "attn_implementation",
        "chunk_size_feed_forward",
        "dtype",
        "output_attentions",
        "output_hidden_states",
        "quantization_config",
        "return_dict",
        "torch_dtype",
        "torchscript",
    }
)
"""How transformers runs a network and what it returns beside the logits: an engine is made with the defaults."""
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` without `RUNTIME_ENTRIES`; `SnapshotError` for bad sizes and for quantized weights."""
    path = folder / CONFIG_FILE
    config = read_json(path)
    if quantization := config.get("quantization_config"):
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise SnapshotError(
            f"{path}: quantization_config says that the weights are quantized ({method or 'method unknown'}); "
            "engines are built from floating-point weights, so use the model before quantization"
        )
    for name in SIZES:
        _check_number(path, name, config.get(name))
    if "type_vocab_size" in config:
        _check_number(path, "type_vocab_size", config["type_vocab_size"])
    return {name: value for name, value in config.items() if name not in RUNTIME_ENTRIES}


def _check_number(path: Path, name: str, value: object) -> None:
    if not isinstance(value, int):
        raise SnapshotError(f"{path}: {name} is {value!r}, it must be a whole number")
