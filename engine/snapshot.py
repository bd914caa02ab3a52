"""Reads and writes ModelScope snapshots of StructBERT classifiers. Knows nothing about ONNX."""

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
"""Keys of the backbone start with one of these; `config.json` of the second says `base_model_prefix: encoder`."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot's folder holds, the backbone's keys under `bert.`."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    vocabulary: str
    """The text of `vocab.txt`."""
    lower_case: bool


def read_snapshot(folder: Path) -> Snapshot:
    """Read a folder; `SnapshotError` names what is missing or of another kind."""
    facts = _json(folder / "configuration.json")
    _expect(folder / "configuration.json", "task", facts.get("task"), TASK)
    _expect(folder / "configuration.json", "model.type", facts.get("model", {}).get("type"), MODEL_TYPE)
    config = _json(folder / "config.json")
    weights_path = folder / WEIGHTS_FILE
    try:
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8")
        state = torch.load(weights_path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SnapshotError(f"{error.filename} is missing") from None
    except Exception as error:  # noqa: BLE001 - torch raises a dozen kinds for a bad file
        raise SnapshotError(f"{weights_path} cannot be read: {error}") from None
    weights = {_under_bert(key): value for key, value in state.items()}
    rows = weights["classifier.weight"].shape[0] if "classifier.weight" in weights else 0
    _expect(weights_path, "labels (rows of classifier.weight)", rows, LABELS)
    _check_label_order(folder / "config.json", config)
    _check_limits(folder, config, vocabulary)
    return Snapshot(config, weights, vocabulary, lower_case(folder))


def write_snapshot(snapshot: Snapshot, folder: Path, *, prefix: str = "bert.") -> None:
    """Write the folder that ModelScope's zero-shot pipeline loads; backbone keys start with `prefix`."""
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
    for name, facts in (
        ("config.json", config),
        ("configuration.json", configuration),
        ("tokenizer_config.json", {"do_lower_case": snapshot.lower_case}),
    ):
        text = json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "vocab.txt").write_text(snapshot.vocabulary, encoding="utf-8")
    weights = {
        prefix + key.removeprefix("bert.") if key.startswith("bert.") else key: value
        for key, value in snapshot.weights.items()
    }
    torch.save(weights, folder / WEIGHTS_FILE)


def lower_case(folder: Path) -> bool:
    """Whether the tokenizer of a snapshot or engine lower-cases; BERT's does unless told otherwise."""
    path = folder / "tokenizer_config.json"
    return bool(_json(path).get("do_lower_case", True)) if path.exists() else True


def network_of(snapshot: Snapshot) -> BertForSequenceClassification:
    """The network with the snapshot's weights, in evaluation mode; missing or misshapen weights are named."""
    network = BertForSequenceClassification(_bert_config(snapshot.config))
    wanted = network.state_dict()
    faults = [f"{key} is missing" for key in wanted if key not in snapshot.weights]
    faults += [
        f"{key} has shape {list(snapshot.weights[key].shape)}, {list(value.shape)} is needed"
        for key, value in wanted.items()
        if key in snapshot.weights and snapshot.weights[key].shape != value.shape
    ]
    if faults:
        raise SnapshotError("; ".join(faults))
    network.load_state_dict({key: snapshot.weights[key] for key in wanted})
    return network.eval()


def arrays_of(network: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """The network's weights by name; buffers of integers are not weights."""
    return {
        key: value.detach().numpy().copy()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }


def _bert_config(config: dict[str, Any]) -> BertConfig:
    facts = {k: v for k, v in config.items() if k not in ("model_type", "id2label", "label2id")}
    return BertConfig(**(facts | {"num_labels": LABELS}), attn_implementation="eager")


def _under_bert(key: str) -> str:
    for prefix in PREFIXES:
        if key.startswith(prefix):
            return "bert." + key.removeprefix(prefix)
    return key


def _check_label_order(path: Path, config: dict[str, Any]) -> None:
    """Names such as `LABEL_0` say nothing; real ones must be in the order that the scores are made from."""
    names = config.get("id2label")
    if not isinstance(names, dict) or all(str(name).startswith("LABEL_") for name in names.values()):
        return
    order = [str(names.get(str(place))).lower() for place in range(LABELS)]
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
                f"{folder / 'config.json'}: {name} is {config.get(name)!r}, a whole number is needed"
            )
    tokens = len(vocabulary.removesuffix("\n").split("\n"))
    if tokens > config["vocab_size"]:
        raise SnapshotError(f"{folder / 'vocab.txt'} has {tokens} tokens, the model knows {config['vocab_size']}")


def _expect(path: Path, name: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SnapshotError(f"{path}: {name} is {found!r}, {wanted!r} is needed")


def _json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SnapshotError(f"{path} is missing") from None
    except ValueError as error:
        raise SnapshotError(f"{path} is not JSON: {error}") from None
    if not isinstance(facts, dict):
        raise SnapshotError(f"{path} is not a JSON object")
    return facts
