"""A snapshot becomes an engine folder, and an engine folder a snapshot again. Knows nothing about Triton."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import torch

from engine.errors import BuildError
from engine.export import OPSET, export_onnx
from engine.snapshot import Snapshot, lower_case, network_of, read_snapshot, write_snapshot
from engine.weights8 import Weights, read_weights, round_to_8_bits, store_weights_in_8_bits

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "engine.json"
CONFIG_FILES = ("config.json", "configuration.json", "tokenizer_config.json", "vocab.txt")
NUMERIC_CLASSES = {"fp32": "fp32", "int8": "w8"}
"""What an engine's id ends in: `w8` is 8-bit weights with FP32 arithmetic."""


def build_engine(source: Path, target: Path, *, name: str, precision: str) -> None:
    """Build the snapshot `source` into the new folder `target`; nothing is left there when it fails.

    `precision`: `fp32`, or `int8` for 8-bit weights.
    """
    if target.exists() and any(target.iterdir()):
        raise BuildError(f"{target} is not empty: name a new folder")
    snapshot = read_snapshot(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _build_into(work, snapshot, name, precision)
        for file in CONFIG_FILES:
            if (source / file).exists():
                shutil.copyfile(source / file, work / file)
        work.chmod(0o755)
        if target.exists():
            target.rmdir()
        work.replace(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def restore_snapshot(engine: Path, target: Path) -> None:
    """Write the ModelScope snapshot whose FP32 logits are the engine's."""
    config = json.loads((engine / "config.json").read_text(encoding="utf-8"))
    weights = {name: torch.from_numpy(value.copy()) for name, value in read_weights(engine / MODEL_FILE).items()}
    vocabulary = (engine / "vocab.txt").read_text(encoding="utf-8")
    write_snapshot(Snapshot(config, weights, vocabulary, lower_case(engine)), target)


def _build_into(folder: Path, snapshot: Snapshot, name: str, precision: str) -> None:
    network = network_of(snapshot)
    if precision == "int8":
        rounded = round_to_8_bits(_arrays(network))
        network.load_state_dict({key: torch.from_numpy(value) for key, value in rounded.items()}, strict=False)
    weights = _arrays(network)
    path = folder / MODEL_FILE
    export_onnx(network, path)
    if precision == "int8":
        store_weights_in_8_bits(path, weights, path)
    digest = _digest(weights)
    manifest = {
        "name": name,
        "engine_id": f"{digest[:16]}-{NUMERIC_CLASSES[precision]}",
        "weights_sha256": digest,
        "precision": precision,
        "opset": OPSET,
        "torch": torch.__version__.split("+")[0],
        "max_tokens": snapshot.config["max_position_embeddings"],
        "vocabulary": snapshot.config["vocab_size"],
        "label_order": ["entailment", "neutral", "contradiction"],
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")


def _arrays(network: torch.nn.Module) -> Weights:
    return {
        key: value.detach().numpy().copy()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }


def _digest(weights: Weights) -> str:
    """SHA-256 over names and values in the order of their names."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(f"{len(key)}:{key}{weights[key].shape}".encode())
        digest.update(weights[key].tobytes())
    return digest.hexdigest()
