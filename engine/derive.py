"""A padded fp32 engine becomes another: precision, front, proof, publication. Without torch, so where Triton runs.

The proof is the source's own: PyTorch's logits travel with it, and so do the rows that INT8 is calibrated on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from engine.errors import SnapshotError
from engine.fuse import fuse, halve
from engine.int8 import quantize
from engine.manifest import Source, digest_of, read_manifest, write_manifest
from engine.publish import published
from engine.ragged import add_ragged_front
from engine.recipe import Recipe
from engine.verification import compare
from engine.verification.onnx_file import OnnxFile
from engine.verification.reference import CALIBRATION_FILE, Row, load_reference, load_rows, padded
from engine.verification.reference import FILE_NAME as REFERENCE_FILE

MODEL_FILE = "model.onnx"
CONFIG_FILES = ("config.json", "configuration.json", "tokenizer_config.json", "vocab.txt")
DISK_FACTOR = 3
"""Bytes needed for each byte of the source's graph: a copy, its rewrite, and some room."""
ROWS_PER_RUN = 2
"""Calibration keeps every activation of a run at once: 0.25 GB at base size and 512 tokens."""

Say = Callable[[str], None]


def derive_engine(source: Path, target: Path, recipe: Recipe, *, say: Say = lambda _line: None) -> compare.Report:
    """Build the engine folder `source` (cpu, fp32, padded) into the new folder `target`, prove it, publish it.

    `w8` cannot be had this way: its rounded weights go into the export. Nothing is at `target` unless the logits
    are PyTorch's within the precision's tolerance (`VerificationError`).
    """
    facts = read_source(source)
    if recipe.precision == "w8":
        raise SnapshotError(f"{source} holds an engine; a w8 engine is built from a snapshot")
    with published(target, needed_bytes=DISK_FACTOR * (source / MODEL_FILE).stat().st_size) as work:
        for file in (MODEL_FILE, REFERENCE_FILE, *CONFIG_FILES):
            if (source / file).exists():
                shutil.copyfile(source / file, work / file)
        calibration = load_rows(source / CALIBRATION_FILE) if recipe.precision == "int8" else []
        say(f"building {recipe.target}/{recipe.precision}, {recipe.front}")
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
        extra = rewrite(work / MODEL_FILE, config, recipe, calibration)
        write_manifest(
            work,
            recipe,
            Source(facts["name"], facts["source_sha256"]),
            config=config,
            weights_sha256=facts["weights_sha256"],
            identity_sha256=extra.pop("identity_sha256", facts["weights_sha256"]),
            extra={"opset": facts["opset"], **extra},
        )
        say("comparing with the reference")
        reference = load_reference(work / REFERENCE_FILE)
        logits = OnnxFile(work / MODEL_FILE).logits(reference.rows)
        return compare.prove(
            work, reference, logits, name=facts["name"], precision=recipe.precision, tolerance=recipe.tolerance
        )


def read_source(folder: Path) -> dict[str, Any]:
    """The manifest of an engine that others are made of; `SnapshotError` says what another one is."""
    facts = read_manifest(folder)
    kind = (facts.get("target"), facts.get("precision"), facts.get("front"))
    if kind != ("cpu", "fp32", "padded"):
        raise SnapshotError(
            f"{folder} holds a {kind[0]} {kind[1]} {kind[2]} engine; "
            "others are made of a padded fp32 one for the cpu"
        )
    return facts


def rewrite(path: Path, config: dict[str, Any], recipe: Recipe, calibration: Sequence[Row]) -> dict[str, Any]:
    """Give the exported graph at `path` its precision and front; returns what the manifest should say besides."""
    extra: dict[str, Any] = {}
    if recipe.precision == "int8":
        quantized = quantize(fuse(path, config), list(_in_runs(calibration)))
        onnx.save(quantized.graph, path)
        numbers = {i.name: numpy_helper.to_array(i) for i in quantized.graph.graph.initializer}
        extra |= {"identity_sha256": digest_of(numbers), "products_in_fp32": list(quantized.kept)}
    if recipe.precision == "fp16":
        onnx.save(halve(fuse(path, config)), path)
    if recipe.ragged:
        graph = onnx.load(path)
        ragged = add_ragged_front(
            graph, vocabulary=config["vocab_size"], max_tokens=config["max_position_embeddings"]
        )
        onnx.save(ragged, path)
    return extra


def _in_runs(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(rows), ROWS_PER_RUN):
        yield padded(rows[start : start + ROWS_PER_RUN])
