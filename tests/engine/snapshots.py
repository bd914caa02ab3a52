"""Small snapshots with random weights, and random rows for the engines built from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from transformers import BertConfig, BertForSequenceClassification

from engine.network import network_of
from engine.snapshot import Snapshot, read_snapshot

CONFIG = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
VOCABULARY = (
    "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x4E00 + i) for i in range(35))]) + "\n"
)


def random_snapshot(seed: int = 1, **changes: int) -> Snapshot:
    """A snapshot with logits of about 1: with PyTorch's initialization all rows would have nearly the same."""
    torch.manual_seed(seed)
    config: dict[str, Any] = CONFIG | changes
    network = BertForSequenceClassification(BertConfig(**config, num_labels=3))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0.0, 0.15)
    return Snapshot(config, network.state_dict(), VOCABULARY, lower_case=True)


def random_rows(seed: int, count: int, max_length: int = 60) -> list[dict[str, np.ndarray]]:
    """Rows of random lengths, each `[1, s]` int64."""
    rng = np.random.default_rng(seed)
    rows = []
    for length in rng.integers(4, max_length, count):
        ids = rng.integers(5, 40, (1, int(length)))
        types = (np.arange(length) > length // 2).astype(np.int64)[np.newaxis]
        rows.append({"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types})
    return rows


def as_batch(rows: list[dict[str, np.ndarray]], tokens: int | None = None) -> dict[str, np.ndarray]:
    """The rows as one batch `[n, s]`, padded to `tokens`, by default to the longest row."""
    length = tokens or max(row["input_ids"].shape[1] for row in rows)
    return {
        name: np.concatenate([np.pad(row[name], ((0, 0), (0, length - row[name].shape[1]))) for row in rows])
        for name in rows[0]
    }


def onnx_logits(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], inputs)[0])


def network_logits(folder: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    with torch.inference_mode():
        logits: np.ndarray = network_of(read_snapshot(folder))(**tensors).logits.numpy()
    return logits
