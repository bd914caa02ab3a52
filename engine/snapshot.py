"""Reads snapshots of pair scorers, of ModelScope and of transformers, and writes ModelScope's of StructBERT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import SnapshotError
from engine.labels import label_maps, logits_order, structbert_order
from engine.model_config import CONFIG_FILE, read_config
from engine.recipe import LABEL_ORDER
from engine.snapshot_files import check_content, read_json, read_text
from engine.weights import read_weights

TASK = "zero-shot-classification"
STRUCTBERT = "structbert"
SPLIT_BERT = "split-bert"
"""The embedded model's, `engine.split_bert`."""
PREPROCESSOR = "zero-shot-cls-tokenizer"
VOCABULARY_FILE = "vocab.txt"
WEIGHTS_FILE = "pytorch_model.bin"
PREFIXES = ("bert.", "encoder.")
"""Key prefixes of a StructBERT's backbone; with the second, `config.json` has `base_model_prefix: encoder`."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
"""Beside `vocab.txt`, what transformers makes tokenizers of."""
ARCHITECTURES = (
    STRUCTBERT,
    "bert",
    "ernie",
    "megatron-bert",
    "roberta",
    "xlm-roberta",
    "deberta-v2",
    "modernbert",
    SPLIT_BERT,
)
"""Values of `model_type` that are read; each has a test that compares answers with the model's own pipeline."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of a snapshot's folder."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    """Float32; keys of a StructBERT's backbone begin with `bert.`."""
    vocabulary: str = ""
    """The content of `vocab.txt` where there is one, without a byte order mark."""
    lower_case: bool = True
    """Of a tokenizer that is written; a snapshot that is read has its tokenizer's own files."""
    architecture: str = STRUCTBERT
    """One of `ARCHITECTURES`."""
    logits: tuple[str, ...] = LABEL_ORDER
    """What each row of the classifier stands for."""
    weight_files: tuple[Path, ...] = ()
    weights_are_plain: bool = True
    """Whether ModelScope and transformers read the files as they are."""
    added_tokens: dict[str, int] = field(default_factory=dict)
    """Of a snapshot that is written: tokens behind the vocabulary, with their ids."""

    @property
    def is_structbert(self) -> bool:
        return self.architecture == STRUCTBERT


def read_snapshot(folder: Path, logits: Sequence[str] | None = None) -> Snapshot:
    """Read and validate a snapshot's folder; `SnapshotError` names what is missing or of another kind.

    `logits`: what each row of the classifier stands for, where `config.json` does not say it.
    """
    config = read_config(folder)
    architecture = _architecture(folder, config)
    _check_tokenizer_files(folder)
    weights = read_weights(folder)
    tensors = weights.tensors
    if architecture == STRUCTBERT:
        tensors = {_under_bert(key): value for key, value in tensors.items()}
        rows = len(tensors["classifier.weight"]) if "classifier.weight" in tensors else 0
        if logits is not None and tuple(logits) != LABEL_ORDER:
            raise SnapshotError(f"a StructBERT's logits are {', '.join(LABEL_ORDER)}, in ModelScope's pipeline")
        _expect(weights.files[0], "labels (rows of classifier.weight)", rows, len(LABEL_ORDER))
        order = structbert_order(folder / CONFIG_FILE, config)
    else:
        order = logits_order(folder / CONFIG_FILE, config, logits)
        if not config.get("id2label"):
            # Of which alone transformers counts the rows of the classifier.
            config |= label_maps(order)
    return Snapshot(
        config=config,
        weights=tensors,
        vocabulary=_vocabulary(folder, config, needed=architecture == STRUCTBERT),
        lower_case=lower_case(folder),
        architecture=architecture,
        logits=order,
        weight_files=weights.files,
        weights_are_plain=weights.is_plain,
    )


def write_snapshot(snapshot: Snapshot, folder: Path, *, prefix: str = "bert.") -> None:
    """Write a folder that ModelScope's zero-shot pipeline can load; keys of the backbone begin with `prefix`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = snapshot.config | {"model_type": STRUCTBERT} | label_maps(LABEL_ORDER)
    if prefix != "bert.":
        config["base_model_prefix"] = prefix.removesuffix(".")
    configuration = {
        "framework": "pytorch",
        "task": TASK,
        "model": {"type": STRUCTBERT},
        "preprocessor": {"type": PREPROCESSOR},
        "pipeline": {"type": TASK},
    }
    files: dict[str, object] = {
        CONFIG_FILE: config,
        "configuration.json": configuration,
        "tokenizer_config.json": {"do_lower_case": snapshot.lower_case},
    }
    if snapshot.added_tokens:
        files["added_tokens.json"] = snapshot.added_tokens
    for name, content in files.items():
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    (folder / VOCABULARY_FILE).write_text(snapshot.vocabulary, encoding="utf-8")
    weights = {
        prefix + key.removeprefix("bert.") if key.startswith("bert.") else key: value
        for key, value in snapshot.weights.items()
    }
    torch.save(weights, folder / WEIGHTS_FILE)


def lower_case(folder: Path) -> bool:
    """Whether the BERT tokenizer of a snapshot lower-cases, which is its default."""
    path = folder / "tokenizer_config.json"
    return bool(read_json(path).get("do_lower_case", True)) if path.exists() else True


def _architecture(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "configuration.json"
    configuration = read_json(path) if path.exists() else {}
    section = configuration.get("model")
    declared = section.get("type") if isinstance(section, dict) else None
    if STRUCTBERT not in (declared, config.get("model_type")):
        architecture = config.get("model_type")
        if architecture not in ARCHITECTURES:
            raise SnapshotError(
                f"{folder / CONFIG_FILE}: model_type is {architecture!r}; there are {', '.join(ARCHITECTURES)}"
            )
        if config.get("is_decoder"):
            raise SnapshotError(f"{folder / CONFIG_FILE}: is_decoder is set; pair scorers are encoders")
        return str(architecture)
    if not configuration:
        raise SnapshotError(f"{path} is missing")
    _expect(path, "task", configuration.get("task"), TASK)
    _expect(path, "model.type", declared, STRUCTBERT)
    return STRUCTBERT


def _under_bert(key: str) -> str:
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        key = key.replace(old, new)
    for prefix in PREFIXES:
        if key.startswith(prefix):
            return "bert." + key.removeprefix(prefix)
    return key


def _check_tokenizer_files(folder: Path) -> None:
    """Of each file that there is; the tokenizers' own errors do not name it."""
    for path in (folder / name for name in TOKENIZER_FILES):
        if path.exists():
            (read_json if path.suffix == ".json" else read_text)(path)
    if not (folder / TOKENIZER_FILES[0]).exists():
        for path in sorted(folder.glob("*.model")):
            check_content(path)


def _vocabulary(folder: Path, config: dict[str, Any], *, needed: bool) -> str:
    path = folder / VOCABULARY_FILE
    if not path.exists():
        if needed:
            raise SnapshotError(f"{path} is missing")
        return ""
    vocabulary = read_text(path)
    tokens = len(vocabulary.removesuffix("\n").split("\n"))
    if tokens > config["vocab_size"]:
        raise SnapshotError(f"{path} has {tokens} tokens, the model has {config['vocab_size']}")
    return vocabulary


def _expect(path: Path, name: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise SnapshotError(f"{path}: {name} is {actual!r}, expected {expected!r}")
