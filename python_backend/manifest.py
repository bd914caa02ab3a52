"""Reads an engine folder's `engine.json`: what the engine is and what it can take. Knows no weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from python_backend.errors import EngineError

FILE_NAME = "engine.json"
MODEL_FILE = "model.onnx"
LABEL_ORDER = ["entailment", "neutral", "contradiction"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The facts of one engine."""

    name: str
    engine_id: str
    """SHA-256 of the weights and the numeric class: two engines with one id give one answer."""
    max_tokens: int
    """Tokens of a pair, special tokens included, that the model was made for."""
    vocabulary: int
    """Tokens of the vocabulary: ids run from 0 to one less."""


def load_manifest(folder: Path) -> Manifest:
    """Read and check `engine.json`; every fault is an `EngineError` that names the file."""
    path = folder / FILE_NAME
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineError(f"{path} is missing: {folder} is not an engine folder") from None
    except ValueError as error:
        raise EngineError(f"{path} is not JSON: {error}") from None
    try:
        if facts["label_order"] != LABEL_ORDER:
            raise EngineError(f"{path}: label_order is {facts['label_order']}, {LABEL_ORDER} is needed")
        return Manifest(
            str(facts["name"]), str(facts["engine_id"]), int(facts["max_tokens"]), int(facts["vocabulary"])
        )
    except (KeyError, TypeError) as error:
        raise EngineError(f"{path}: {error} is missing or of the wrong type") from None
