"""Builds an engine from an FP32 engine instead of a snapshot, which needs no torch, so that it runs beside Triton.

The source's folder brings what that takes: PyTorch's logits as the reference.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from engine.errors import SnapshotError, TargetError
from engine.graph.fusion import convert_to_fp16, fuse
from engine.graph.int8 import quantize
from engine.graph.ragged_inputs import BatchLimits, add_ragged_inputs
from engine.manifest import FILE_NAME as MANIFEST_FILE
from engine.manifest import TOKENIZER_FILE, WeightsSource, contract_in, digest_of, read_manifest, write_manifest
from engine.model_config import CONFIG_FILE
from engine.publish import publishing
from engine.recipe import Recipe, choose_recipe
from engine.samples import SAMPLES_FILE, TextSample, knows_builtin_texts, read_samples, rounding_samples
from engine.verification import compare
from engine.verification.reference import FILE_NAME as REFERENCE_FILE
from engine.verification.reference import Case, Reference, load_reference
from engine.verification.served_engine import ServedEngine
from python_backend.engine import MAX_BATCH_ROWS, MAX_BATCH_TOKENS, check_runtime
from python_backend.errors import BackendError

MODEL_FILE = "model.onnx"
CONFIG_FILES = (CONFIG_FILE, TOKENIZER_FILE)
DISK_FACTOR = 3
"""Disk space for a build, as a multiple of the source's graph: a copy, its rewrite, and a margin."""
FUSED_ARCHITECTURES = ("structbert", "bert", "ernie", "roberta", "xlm-roberta")
"""Those whose attention ONNX Runtime's optimizer recognizes."""
NOT_LOADED = "which OpenVINO cannot load"
"""2026.4 loads no graph with tensors of unknown rank."""
ARCHITECTURES_WITHOUT = {
    "bf16": {"deberta-v2": NOT_LOADED},
    # With 8-bit products, OpenVINO computed 543 of 579 rows of a random ModernBERT otherwise in other batches.
    "int8": {"deberta-v2": NOT_LOADED, "modernbert": "whose logits would depend on the batch of a row"},
}
"""Why an architecture does not have a precision."""
RAGGED_LIMITS = {
    "cpu": BatchLimits(MAX_BATCH_ROWS, MAX_BATCH_TOKENS),
    "cuda": BatchLimits(rows=256, tokens=16_384),
}
"""Of one run in a graph with ragged inputs, by target: on CPUs as in the Python model."""

Log = Callable[[str], None]


def derive_engine(source: Path, target: Path, recipe: Recipe, *, log: Log = lambda _line: None) -> compare.Report:
    """Build an engine from the engine `source` (cpu fp32 padded), verify it, and publish it as `target`.

    `SnapshotError` for another source, and for `w8`, whose weights are rounded before the export. Unless the
    engine's logits equal PyTorch's within the tolerance of its precision, nothing is published and
    `VerificationError` is raised.
    """
    source_manifest = read_source(source)
    if recipe.precision == "w8":
        raise SnapshotError(f"{source} is an engine; a w8 engine is built from a snapshot")
    contract = contract_in(source_manifest)
    check_architecture(contract["architecture"], recipe)
    check_runs_here(recipe)
    with publishing(target, needed_bytes=DISK_FACTOR * (source / MODEL_FILE).stat().st_size) as work:
        for file in (MODEL_FILE, REFERENCE_FILE, MANIFEST_FILE, *CONFIG_FILES):
            if (source / file).exists():
                shutil.copyfile(source / file, work / file)
        reference = load_reference(work / REFERENCE_FILE)
        if recipe.precision in compare.ROUNDED_PRECISIONS:
            log("asking the FP32 engine for more answers")
            samples = read_samples(source / SAMPLES_FILE) if (source / SAMPLES_FILE).exists() else None
            reference = with_rounding_cases(
                work, reference, source_manifest["name"], samples, contract["languages"]
            )
        log(f"building {recipe}")
        config = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
        details = rewrite(work / MODEL_FILE, config, contract, recipe)
        write_manifest(
            work,
            recipe,
            WeightsSource(source_manifest["name"], source_manifest["source_sha256"]),
            contract=contract,
            weights_sha256=source_manifest["weights_sha256"],
            identity_sha256=details.pop("identity_sha256", source_manifest["weights_sha256"]),
            details={"opset": source_manifest["opset"], **details},
        )
        log("comparing the engine with the reference")
        return verify_folder(work, reference, recipe, source_manifest["name"])


def with_rounding_cases(
    folder: Path,
    reference: Reference,
    name: str,
    samples: Sequence[TextSample] | None,
    languages: Collection[str],
) -> Reference:
    """The reference of an engine of a rounded precision: with more cases, which the FP32 one in `folder` answers.

    They are made of `samples`, by default of this package's for a model of these `languages`. Written to `folder`.
    `VerificationError` if the FP32 engine itself does not answer as the reference does.
    """
    verify_folder(folder, reference, choose_recipe(), name)
    foreign = not knows_builtin_texts(samples, languages)
    cases = [Case(sample.text, sample.labels) for sample in rounding_samples(samples, languages)]
    extended = replace(
        reference,
        cases=[*(replace(case, foreign=foreign) for case in reference.cases), *cases],
        answers=[*reference.answers, *ServedEngine(folder).answers(cases)],
    )
    extended.save(folder / REFERENCE_FILE)
    return extended


def verify_folder(folder: Path, reference: Reference, recipe: Recipe, name: str) -> compare.Report:
    """Ask the engine in `folder` in process; `VerificationError` beyond the tolerance of the recipe."""
    report = compare.compare(
        reference,
        ServedEngine(folder).answers(reference.cases),
        target=name,
        precision=recipe.precision,
        tolerance=recipe.tolerance,
    )
    return compare.require_agreement(folder, report)


def read_source(folder: Path) -> dict[str, Any]:
    """The manifest of an engine that others can be built from; `SnapshotError` if it is of another kind."""
    manifest = read_manifest(folder)
    kind = (manifest.get("target"), manifest.get("precision"), manifest.get("front"))
    if kind != ("cpu", "fp32", "padded"):
        raise SnapshotError(
            f"{folder} is a {kind[0]} {kind[1]} {kind[2]} engine; "
            "others are built from a cpu fp32 padded engine or from a snapshot"
        )
    return manifest


def check_architecture(architecture: str, recipe: Recipe) -> None:
    """`SnapshotError` for a precision that the architecture does not have."""
    reason = ARCHITECTURES_WITHOUT.get(recipe.precision, {}).get(architecture)
    if reason is not None:
        raise SnapshotError(f"there is no {recipe.precision} for {architecture}, {reason}: build fp32")


def check_runs_here(recipe: Recipe) -> None:
    """`TargetError` where the engine could not be verified, for want of its runtime or of a processor for it."""
    try:
        check_runtime(recipe.precision)
    except BackendError as error:
        raise TargetError(str(error)) from None


def rewrite(
    path: Path,
    config: Mapping[str, Any],
    contract: Mapping[str, Any],
    recipe: Recipe,
) -> dict[str, Any]:
    """Give the exported graph at `path` the precision and the inputs of `recipe`, in place.

    `config` is the network's `config.json`. Returns further entries for the manifest: for INT8 `identity_sha256`,
    over weights and scales.
    """
    details: dict[str, Any] = {}
    fused = contract["architecture"] in FUSED_ARCHITECTURES
    if recipe.precision == "int8":
        quantized = quantize(onnx.load(path))
        onnx.save(quantized, path)
        constants = {i.name: numpy_helper.to_array(i) for i in quantized.graph.initializer}
        details["identity_sha256"] = digest_of(constants)
    if recipe.precision == "fp16":
        onnx.save(convert_to_fp16(fuse(path, config) if fused else onnx.load(path)), path)
    if recipe.ragged:
        graph = onnx.load(path)
        ragged = add_ragged_inputs(
            graph,
            vocabulary=contract["vocabulary"],
            token_types=contract["token_types"],
            max_tokens=contract["max_tokens"],
            limits=RAGGED_LIMITS[recipe.target],
        )
        onnx.save(ragged, path)
    return details
