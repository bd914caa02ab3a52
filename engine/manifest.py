"""Writes and reads `engine.json`, the manifest of an engine folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import SnapshotError
from engine.recipe import Recipe

FILE_NAME = "engine.json"
TOKENIZER_FILE = "tokenizer.json"
CONTRACT_FIELDS = (
    "architecture",
    "logits",
    "max_tokens",
    "vocabulary",
    "token_types",
    "truncation",
    "default_template",
    "languages",
)
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime", "openvino", "tensorrt")
"""Packages whose versions the manifest records."""


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """The snapshot that the weights come from."""

    name: str
    """The model name in answers."""
    sha256: str
    """Of the files with the weights."""


def write_manifest(
    folder: Path,
    recipe: Recipe,
    source: WeightsSource,
    *,
    contract: Mapping[str, Any],
    weights_sha256: str,
    identity_sha256: str,
    details: Mapping[str, Any],
) -> None:
    """Write `engine.json` into `folder`.

    `contract` has the entries of `engine.contract.Contract`; `weights_sha256` covers the FP32 weights,
    `identity_sha256` all numbers of the graph, for INT8 the scales too; `details` are further entries. The id is
    made of the latter, the tokenizer in `folder` and the contract.
    """
    identity = hashlib.sha256(identity_sha256.encode())
    identity.update((folder / TOKENIZER_FILE).read_bytes())
    identity.update(json.dumps(contract, sort_keys=True).encode())
    manifest = {
        "name": source.name,
        "engine_id": f"{identity.hexdigest()[:16]}-{recipe.precision}",
        "weights_sha256": weights_sha256,
        "source_sha256": source.sha256,
        "target": recipe.target,
        "precision": recipe.precision,
        "front": recipe.front,
        **contract,
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        **details,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of `engine.json` in `folder`; `SnapshotError` if it cannot be read."""
    path = folder / FILE_NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path} cannot be read: {error}") from None
    if not isinstance(manifest, dict):
        raise SnapshotError(f"{path} is not a JSON object")
    return manifest


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, shapes and values, sorted by name."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{len(key)}:{key}{arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()


def contract_in(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a manifest that describe the model."""
    missing = [name for name in CONTRACT_FIELDS if name not in manifest]
    if missing:
        raise SnapshotError(f"{FILE_NAME} lacks {', '.join(missing)}; build the engine again")
    return {name: manifest[name] for name in CONTRACT_FIELDS}


def files_sha256(paths: Iterable[Path]) -> str:
    """SHA-256 of files, as hexadecimal digits: of the only one, or of the digests of all."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None
