"""Reads and writes ModelScope snapshots of StructBERT zero-shot classifiers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from engine.errors import SnapshotError

TASK = "zero-shot-classification"
MODEL_TYPE = "structbert"
PREPROCESSOR = "zero-shot-cls-tokenizer"
LABELS = 3
LABEL_ORDER = ["entailment", "neutral", "contradiction"]
WEIGHTS_FILE = "pytorch_model.bin"
PREFIXES = ("bert.", "encoder.")
"""Key prefixes of the backbone's weights; with the second, `config.json` has `base_model_prefix: encoder`."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of a snapshot's folder; keys of the backbone's weights begin with `bert.`."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    vocabulary: str
    """The content of `vocab.txt`."""
    lower_case: bool


def read_snapshot(folder: Path) -> Snapshot:
    """Read and validate a snapshot's folder; `SnapshotError` names what is missing or of another kind."""
    configuration = _read_json(folder / "configuration.json")
    _expect(folder / "configuration.json", "task", configuration.get("task"), TASK)
    model_type = configuration.get("model", {}).get("type")
    _expect(folder / "configuration.json", "model.type", model_type, MODEL_TYPE)
    config = _read_json(folder / "config.json")
    weights_path = folder / WEIGHTS_FILE
    try:
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8")
        state = torch.load(weights_path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SnapshotError(f"{error.filename} is missing") from None
    except Exception as error:  # noqa: BLE001 - torch raises many kinds of errors for an invalid file
        raise SnapshotError(f"{weights_path} cannot be read: {error}") from None
    weights = {_under_bert(key): value for key, value in state.items()}
    labels = weights["classifier.weight"].shape[0] if "classifier.weight" in weights else 0
    _expect(weights_path, "labels (rows of classifier.weight)", labels, LABELS)
    _check_label_order(folder / "config.json", config)
    _check_limits(folder, config, vocabulary)
    return Snapshot(config, weights, vocabulary, lower_case(folder))


def write_snapshot(snapshot: Snapshot, folder: Path, *, prefix: str = "bert.") -> None:
    """Write a folder that ModelScope's zero-shot pipeline can load; keys of the backbone begin with `prefix`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = snapshot.config | {"model_type": MODEL_TYPE, "num_labels": LABELS}
    config["id2label"] = {"0": "entailment", "1": "neutral", "2": "contradiction"}
    config["label2id"] = {"entailment": 0, "neutral": 1, "contradiction": 2}
    if prefix != "bert.":
        config["base_model_prefix"] = prefix.removesuffix(".")
    configuration = {
        "framework": "pytorch",
        "task": TASK,
        "model": {"type": MODEL_TYPE},
        "preprocessor": {"type": PREPROCESSOR},
        "pipeline": {"type": TASK},
    }
    for name, content in (
        ("config.json", config),
        ("configuration.json", configuration),
        ("tokenizer_config.json", {"do_lower_case": snapshot.lower_case}),
    ):
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "vocab.txt").write_text(snapshot.vocabulary, encoding="utf-8")
    weights = {
        prefix + key.removeprefix("bert.") if key.startswith("bert.") else key: value
        for key, value in snapshot.weights.items()
    }
    torch.save(weights, folder / WEIGHTS_FILE)


def lower_case(folder: Path) -> bool:
    """Whether the tokenizer of a snapshot or an engine lower-cases, which is BERT's default."""
    path = folder / "tokenizer_config.json"
    return bool(_read_json(path).get("do_lower_case", True)) if path.exists() else True


def network_of(snapshot: Snapshot) -> BertForSequenceClassification:
    """The network with the snapshot's weights, in evaluation mode.

    `SnapshotError` names every weight that is missing or has another shape.
    """
    network = BertForSequenceClassification(_bert_config(snapshot.config))
    expected = network.state_dict()
    faults = [f"{key} is missing" for key in expected if key not in snapshot.weights]
    faults += [
        f"{key} has shape {list(snapshot.weights[key].shape)}, expected {list(value.shape)}"
        for key, value in expected.items()
        if key in snapshot.weights and snapshot.weights[key].shape != value.shape
    ]
    if faults:
        raise SnapshotError("; ".join(faults))
    network.load_state_dict({key: snapshot.weights[key] for key in expected})
    return network.eval()


def arrays_of(network: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copies of the network's floating-point weights by name, float32; integer buffers are left out."""
    return {
        key: value.detach().numpy().copy()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }


def _bert_config(config: dict[str, Any]) -> BertConfig:
    options = {k: v for k, v in config.items() if k not in ("model_type", "id2label", "label2id")}
    return BertConfig(**(options | {"num_labels": LABELS}), attn_implementation="eager")


def _under_bert(key: str) -> str:
    for prefix in PREFIXES:
        if key.startswith(prefix):
            return "bert." + key.removeprefix(prefix)
    return key


def _check_label_order(path: Path, config: dict[str, Any]) -> None:
    """Label names must be in ModelScope's order, unless they are placeholders such as `LABEL_0`."""
    names = config.get("id2label")
    if not isinstance(names, dict) or all(str(name).startswith("LABEL_") for name in names.values()):
        return
    order = [str(names.get(str(index))).lower() for index in range(LABELS)]
    _expect(path, "id2label", order, LABEL_ORDER)


def _check_limits(folder: Path, config: dict[str, Any], vocabulary: str) -> None:
    for name in (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "max_position_embeddings",
    ):
        if not isinstance(config.get(name), int):
            raise SnapshotError(
                f"{folder / 'config.json'}: {name} is {config.get(name)!r}, it must be a whole number"
            )
    tokens = len(vocabulary.removesuffix("\n").split("\n"))
    if tokens > config["vocab_size"]:
        raise SnapshotError(f"{folder / 'vocab.txt'} has {tokens} tokens, the model has {config['vocab_size']}")


def _expect(path: Path, name: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise SnapshotError(f"{path}: {name} is {actual!r}, expected {expected!r}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SnapshotError(f"{path} is missing") from None
    except ValueError as error:
        raise SnapshotError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise SnapshotError(f"{path} is not a JSON object")
    return content
