"""Small random snapshots, and rows for the engines made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from transformers import BertConfig, BertForSequenceClassification

from engine.snapshot import Snapshot, network_of, read_snapshot

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


def snapshot(seed: int = 1, **changes: int) -> Snapshot:
    """Weights that make logits of about 1: PyTorch's own start gives rows that hardly differ."""
    torch.manual_seed(seed)
    config: dict[str, Any] = CONFIG | changes
    network = BertForSequenceClassification(BertConfig(**config, num_labels=3))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0.0, 0.15)
    return Snapshot(config, network.state_dict(), VOCABULARY, lower_case=True)


def rows(seed: int, count: int, longest: int = 60) -> list[dict[str, np.ndarray]]:
    """Rows of random lengths, each `[1, s]`."""
    rng = np.random.default_rng(seed)
    made = []
    for length in rng.integers(4, longest, count):
        ids = rng.integers(5, 40, (1, int(length)))
        types = (np.arange(length) > length // 2).astype(np.int64)[np.newaxis]
        made.append({"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types})
    return made


def together(some: list[dict[str, np.ndarray]], tokens: int | None = None) -> dict[str, np.ndarray]:
    """The rows as one batch, padded to `tokens` or the longest."""
    longest = tokens or max(row["input_ids"].shape[1] for row in some)
    return {
        name: np.concatenate([np.pad(row[name], ((0, 0), (0, longest - row[name].shape[1]))) for row in some])
        for name in some[0]
    }


def session(path: Path) -> ort.InferenceSession:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def logits(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(session(path).run(["logits"], inputs)[0])


def network_logits(folder: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    with torch.inference_mode():
        answer: np.ndarray = network_of(read_snapshot(folder))(**tensors).logits.numpy()
    return answer
