"""Reads `engine.json`, the manifest of an engine folder."""

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
    """What the server needs to know of an engine."""

    name: str
    engine_id: str
    """Hash of the weights, and the precision: two engines with the same id give the same answers."""
    max_tokens: int
    """Longest pair that the model takes, in tokens, special tokens included."""
    vocabulary: int
    """Size of the vocabulary in tokens; ids are below it."""


def load_manifest(folder: Path) -> Manifest:
    """Read and validate the manifest of an engine folder; an `EngineError` names the file and what is wrong."""
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineError(f"{path} is missing: {folder} is not an engine folder") from None
    except ValueError as error:
        raise EngineError(f"{path} is not JSON: {error}") from None
    try:
        if content["label_order"] != LABEL_ORDER:
            raise EngineError(f"{path}: label_order is {content['label_order']}, expected {LABEL_ORDER}")
        return Manifest(
            str(content["name"]),
            str(content["engine_id"]),
            int(content["max_tokens"]),
            int(content["vocabulary"]),
        )
    except (KeyError, TypeError) as error:
        raise EngineError(f"{path}: {error} is missing or has the wrong type") from None
