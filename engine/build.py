"""A snapshot becomes an engine folder: export, the steps of derive.py, proof, publication. Knows no Triton."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import BertForSequenceClassification

from engine.derive import CONFIG_FILES, MODEL_FILE, rewrite
from engine.errors import SnapshotError
from engine.export import OPSET, export_onnx
from engine.manifest import Source, digest_of, file_sha256, read_manifest, write_manifest
from engine.publish import published
from engine.recipe import Recipe
from engine.reference import make_reference, rows_of
from engine.samples import Sample, own_samples
from engine.snapshot import (
    WEIGHTS_FILE,
    Snapshot,
    arrays_of,
    lower_case,
    network_of,
    read_snapshot,
    write_snapshot,
)
from engine.verification import compare
from engine.verification.onnx_file import OnnxFile
from engine.verification.reference import CALIBRATION_FILE, Row, save_rows
from engine.verification.reference import FILE_NAME as REFERENCE_FILE
from engine.weights8 import read_weights, round_to_8_bits, store_weights_in_8_bits

DISK_FACTOR = 3
"""Bytes needed while building, for each byte of the snapshot's weights: the export, its rewrite, and some room."""

Say = Callable[[str], None]


def build_engine(
    source: Path,
    target: Path,
    recipe: Recipe,
    *,
    name: str,
    samples: Sequence[Sample] | None = None,
    say: Say = lambda _line: None,
) -> compare.Report:
    """Build the snapshot `source` into the new folder `target`, prove it, and publish it.

    `samples` calibrate INT8; the package's own by default. Nothing is at `target` unless the engine's logits are
    PyTorch's within the precision's tolerance (`VerificationError`).
    """
    say(f"reading {source}")
    snapshot = read_snapshot(source)
    network = network_of(snapshot)
    with published(target, needed_bytes=DISK_FACTOR * (source / WEIGHTS_FILE).stat().st_size) as work:
        for file in CONFIG_FILES:
            if (source / file).exists():
                shutil.copyfile(source / file, work / file)
        say("asking PyTorch for the reference")
        weights_sha256 = digest_of(arrays_of(network))
        reference = make_reference(snapshot, network, own_samples("reference"), weights_sha256)
        reference.save(work / REFERENCE_FILE)
        say(f"building {recipe.target}/{recipe.precision}, {recipe.front}")
        calibration: list[Row] = []
        if recipe.is_source or recipe.precision == "int8":
            calibration = [
                row for rows in rows_of(snapshot, samples or own_samples("calibration")) for row in rows
            ]
        extra = _write_model(work / MODEL_FILE, snapshot, network, recipe, calibration)
        if recipe.is_source:
            save_rows(calibration, work / CALIBRATION_FILE)
        origin = Source(name, file_sha256(source / WEIGHTS_FILE))
        write_manifest(
            work,
            recipe,
            origin,
            config=snapshot.config,
            weights_sha256=weights_sha256,
            identity_sha256=extra.pop("identity_sha256", weights_sha256),
            extra={"opset": OPSET, **extra},
        )
        say("comparing with the reference")
        logits = OnnxFile(work / MODEL_FILE).logits(reference.rows)
        return compare.prove(
            work, reference, logits, name=name, precision=recipe.precision, tolerance=recipe.tolerance
        )


def restore_snapshot(engine: Path, target: Path) -> None:
    """Write the ModelScope snapshot whose FP32 logits are those of the `w8` engine in the folder `engine`."""
    precision = read_manifest(engine).get("precision")
    if precision != "w8":
        raise SnapshotError(f"{engine} holds a {precision} engine; only a w8 engine keeps the snapshot's weights")
    config = json.loads((engine / "config.json").read_text(encoding="utf-8"))
    weights = {name: torch.from_numpy(value.copy()) for name, value in read_weights(engine / MODEL_FILE).items()}
    vocabulary = (engine / "vocab.txt").read_text(encoding="utf-8")
    needed_bytes = DISK_FACTOR * sum(value.nbytes for value in weights.values())
    with published(target, needed_bytes=needed_bytes) as work:
        write_snapshot(Snapshot(config, weights, vocabulary, lower_case(engine)), work)


def _write_model(
    path: Path,
    snapshot: Snapshot,
    network: BertForSequenceClassification,
    recipe: Recipe,
    calibration: Sequence[Row],
) -> dict[str, Any]:
    """Write the graph; returns what the manifest should say besides."""
    extra: dict[str, Any] = {}
    weights = arrays_of(network)
    if recipe.precision == "w8":
        weights = round_to_8_bits(weights)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()}, strict=False)
        extra["identity_sha256"] = digest_of(weights)
    export_onnx(network, path)
    if recipe.precision == "w8":
        store_weights_in_8_bits(path, weights, path)
    return extra | rewrite(path, snapshot.config, recipe, calibration)
