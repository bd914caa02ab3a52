"""Reads `engine.json`, the manifest of an engine folder."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path

from python_backend.errors import EngineError
from python_backend.truncation import TRUNCATIONS

FILE_NAME = "engine.json"
MODEL_FILE = "model.onnx"
LABEL_ORDER = ("entailment", "neutral", "contradiction")
"""The columns of every engine's logits. One that the model itself lacks is a constant of the graph."""
MAX_DEFAULT_TEMPLATE_BYTES = 128
ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"
RUNTIMES = {"bf16": OPENVINO, "int8": OPENVINO}
"""Packages that run an engine in the Python model, by precision: those that are not ONNX Runtime.

Their version is part of the engine's id, since the rounded numbers may differ between versions.
"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the server needs to know of an engine."""

    name: str
    engine_id: str
    """Hash of all that decides an answer, and the precision: engines with the same id give the same answers."""
    precision: str
    max_tokens: int
    """Longest pair that the model takes, in tokens, special tokens included."""
    vocabulary: int
    """Size of the vocabulary in tokens; ids are below it."""
    logits: tuple[str, ...]
    """Which of `LABEL_ORDER` the model itself computes: all three, two, or entailment alone."""
    default_template: str
    """Hypothesis template of requests that have none."""
    token_types: int
    """Token types that the model tells apart: 2, or 1 where it takes none."""
    truncation: str
    """How a pair is truncated, one of `truncation.TRUNCATIONS`."""
    architecture: str
    """The model's own `model_type`, such as `structbert`."""
    languages: tuple[str, ...]
    """Languages that the model is for, as its builder told; none where it did not."""

    def served_id(self) -> str:
        """The id, with the version of what runs the engine where that decides the numbers.

        `EngineError` if it is not installed.
        """
        runtime = RUNTIMES.get(self.precision)
        return self.engine_id if runtime is None else f"{self.engine_id}-{installed(runtime)}"

    def contract(self, engine_id: str) -> str:
        """What callers may know of the model, as JSON."""
        fields = {
            "id": engine_id,
            "name": self.name,
            "architecture": self.architecture,
            "precision": self.precision,
            "logits": self.logits,
            "max_tokens": self.max_tokens,
            "default_template": self.default_template,
            "truncation": self.truncation,
            "languages": self.languages,
        }
        return json.dumps(fields, ensure_ascii=False)


def runtime_of(precision: str) -> str:
    """The package that runs engines of `precision` in the Python model."""
    return RUNTIMES.get(precision, ONNXRUNTIME)


def installed(package: str) -> str:
    """`package` with its version, such as `onnxruntime-1.31.1`; `EngineError` if it is not installed."""
    try:
        return f"{package}-{importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        raise EngineError(
            f"the engine needs the package {package}, which is not installed here; in a checkout, "
            f"`.venv/bin/pip install --no-deps --require-hashes -r requirements/{package}.txt` installs it"
        ) from None


def model_file(folder: Path) -> Path:
    """The graph in an engine folder; `EngineError` if there is none."""
    path = folder / MODEL_FILE
    if not path.exists():
        raise EngineError(f"{path} is missing: the engine has no weights")
    return path


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
        manifest = Manifest(
            name=str(content["name"]),
            engine_id=str(content["engine_id"]),
            precision=str(content["precision"]),
            max_tokens=int(content["max_tokens"]),
            vocabulary=int(content["vocabulary"]),
            logits=tuple(map(str, content["logits"])),
            default_template=str(content["default_template"]),
            token_types=int(content["token_types"]),
            truncation=str(content["truncation"]),
            architecture=str(content["architecture"]),
            languages=tuple(map(str, content["languages"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"{path}: {error} is missing or has the wrong type; build the engine again") from None
    if "entailment" not in manifest.logits or not set(manifest.logits) <= set(LABEL_ORDER):
        raise EngineError(f"{path}: logits is {list(manifest.logits)}, expected some of {list(LABEL_ORDER)}")
    template = manifest.default_template
    if template.count("{}") != 1 or len(template.encode()) > MAX_DEFAULT_TEMPLATE_BYTES:
        raise EngineError(
            f"{path}: default_template is {template!r}; it needs exactly one {{}}, in at most "
            f"{MAX_DEFAULT_TEMPLATE_BYTES} bytes"
        )
    if manifest.token_types not in (1, 2):
        raise EngineError(f"{path}: token_types is {manifest.token_types}, expected 1 or 2")
    if manifest.truncation not in TRUNCATIONS:
        raise EngineError(f"{path}: truncation is {manifest.truncation!r}, expected {', '.join(TRUNCATIONS)}")
    return manifest
