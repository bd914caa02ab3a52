"""Builds an engine folder from a snapshot: export, rewrite, verification, publication."""

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
from engine.graph.export import OPSET, export_onnx
from engine.graph.w8 import quantize_dequantize, read_weights, store_weights_in_8_bits
from engine.manifest import WeightsSource, digest_of, file_sha256, read_manifest, write_manifest
from engine.publish import publishing
from engine.recipe import Recipe
from engine.reference import encode_samples, make_reference
from engine.samples import TextSample, builtin_samples
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
from engine.verification.onnx_target import OnnxTarget
from engine.verification.reference import CALIBRATION_FILE, TokenRow, save_rows
from engine.verification.reference import FILE_NAME as REFERENCE_FILE

DISK_FACTOR = 3
"""Disk space for a build, as a multiple of the snapshot's weights: the export, its rewrite, and a margin."""

Log = Callable[[str], None]


def build_engine(
    source: Path,
    target: Path,
    recipe: Recipe,
    *,
    name: str,
    samples: Sequence[TextSample] | None = None,
    log: Log = lambda _line: None,
) -> compare.Report:
    """Build an engine from the snapshot `source`, verify it, and publish it as the new folder `target`.

    `name` is the model name in answers; `samples`, by default those of this package, calibrate INT8. Unless the
    engine's logits equal PyTorch's within the tolerance of its precision, nothing is published and
    `VerificationError` is raised.
    """
    log(f"reading {source}")
    snapshot = read_snapshot(source)
    network = network_of(snapshot)
    with publishing(target, needed_bytes=DISK_FACTOR * (source / WEIGHTS_FILE).stat().st_size) as work:
        for file in CONFIG_FILES:
            if (source / file).exists():
                shutil.copyfile(source / file, work / file)
        log("running PyTorch for the reference")
        weights_sha256 = digest_of(arrays_of(network))
        reference = make_reference(snapshot, network, builtin_samples("reference"), weights_sha256)
        reference.save(work / REFERENCE_FILE)
        log(f"building {recipe}")
        calibration: list[TokenRow] = []
        if recipe.is_source or recipe.precision == "int8":
            calibration = [
                row for rows in encode_samples(snapshot, samples or builtin_samples("calibration")) for row in rows
            ]
        details = _write_model(work / MODEL_FILE, snapshot, network, recipe, calibration)
        if recipe.is_source:
            save_rows(calibration, work / CALIBRATION_FILE)
        origin = WeightsSource(name, file_sha256(source / WEIGHTS_FILE))
        write_manifest(
            work,
            recipe,
            origin,
            config=snapshot.config,
            weights_sha256=weights_sha256,
            identity_sha256=details.pop("identity_sha256", weights_sha256),
            details={"opset": OPSET, **details},
        )
        log("comparing the engine with the reference")
        logits = OnnxTarget(work / MODEL_FILE).logits(reference.rows)
        return compare.require_agreement(
            work, reference, logits, name=name, precision=recipe.precision, tolerance=recipe.tolerance
        )


def restore_snapshot(engine: Path, target: Path) -> None:
    """Write the ModelScope snapshot with the weights of the `w8` engine in the folder `engine` to `target`."""
    precision = read_manifest(engine).get("precision")
    if precision != "w8":
        raise SnapshotError(
            f"{engine} is a {precision} engine; only a w8 engine keeps the weights of its snapshot"
        )
    config = json.loads((engine / "config.json").read_text(encoding="utf-8"))
    weights = {name: torch.from_numpy(value.copy()) for name, value in read_weights(engine / MODEL_FILE).items()}
    vocabulary = (engine / "vocab.txt").read_text(encoding="utf-8")
    needed_bytes = DISK_FACTOR * sum(value.nbytes for value in weights.values())
    with publishing(target, needed_bytes=needed_bytes) as work:
        write_snapshot(Snapshot(config, weights, vocabulary, lower_case(engine)), work)


def _write_model(
    path: Path,
    snapshot: Snapshot,
    network: BertForSequenceClassification,
    recipe: Recipe,
    calibration: Sequence[TokenRow],
) -> dict[str, Any]:
    """Write the graph to `path`; returns further entries for the manifest."""
    details: dict[str, Any] = {}
    weights = arrays_of(network)
    if recipe.precision == "w8":
        weights = quantize_dequantize(weights)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()}, strict=False)
        details["identity_sha256"] = digest_of(weights)
    export_onnx(network, path)
    if recipe.precision == "w8":
        store_weights_in_8_bits(path, weights, path)
    return details | rewrite(path, snapshot.config, recipe, calibration)
