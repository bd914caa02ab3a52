"""Writes and reads `engine.json`, which says what an engine is. Knows nothing about graphs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import SnapshotError
from engine.recipe import Recipe

FILE_NAME = "engine.json"
VERSIONS_OF = ("torch", "transformers", "onnx", "onnxruntime", "tensorrt")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the weights came from."""

    name: str
    """What answers call the model."""
    sha256: str
    """Of the file of weights, as it was read."""


def write_manifest(
    folder: Path,
    recipe: Recipe,
    source: Source,
    *,
    config: Mapping[str, Any],
    weights_sha256: str,
    identity_sha256: str,
    extra: Mapping[str, Any],
) -> None:
    """`identity_sha256` covers every number that decides an answer: weights, and scales where there are some."""
    manifest = {
        "name": source.name,
        "engine_id": f"{identity_sha256[:16]}-{recipe.precision}",
        "weights_sha256": weights_sha256,
        "source_sha256": source.sha256,
        "target": recipe.target,
        "precision": recipe.precision,
        "front": recipe.front,
        "max_tokens": config["max_position_embeddings"],
        "vocabulary": config["vocab_size"],
        "label_order": ["entailment", "neutral", "contradiction"],
        "versions": {name: version for name in VERSIONS_OF if (version := _version(name))},
        **extra,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / FILE_NAME
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from None
    if not isinstance(facts, dict):
        raise SnapshotError(f"{path} is not a JSON object")
    return facts


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, shapes and values in the order of the names."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{len(key)}:{key}{arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None
