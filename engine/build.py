"""Builds an engine folder from a snapshot: export, rewrite, verification, publication."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch
from transformers import PreTrainedModel

from engine.contract import Told, contract_of
from engine.derive import (
    MODEL_FILE,
    check_architecture,
    check_runs_here,
    rewrite,
    verify_folder,
    with_rounding_cases,
)
from engine.errors import SnapshotError
from engine.graph.export import OPSET, export_onnx
from engine.graph.first_token import read_first_token_alone
from engine.graph.w8 import quantize_dequantize, read_weights, store_weights_in_8_bits
from engine.manifest import TOKENIZER_FILE, WeightsSource, digest_of, files_sha256, read_manifest, write_manifest
from engine.model_config import CONFIG_FILE
from engine.network import arrays_of, network_of
from engine.publish import publishing
from engine.recipe import Recipe, choose_recipe
from engine.reference import make_reference
from engine.samples import (
    SAMPLES_FILE,
    TextSample,
    reference_cases,
    write_samples,
)
from engine.snapshot import STRUCTBERT, Snapshot, read_snapshot, write_snapshot
from engine.staging import staged
from engine.tokenizer import added_tokens_of, count_tokens_of, load_pretrained, served_tokenizer
from engine.verification import compare
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
    told: Told | None = None,
    log: Log = lambda _line: None,
) -> compare.Report:
    """Build an engine from the snapshot `source`, verify it, and publish it as the new folder `target`.

    `name` is the model name in answers; `samples`, by default those of this package, show how many labels INT8
    and bfloat16 change; `told` is what the snapshot does not say. Unless the engine answers as the model's own
    pipeline does, within the tolerance of its precision, nothing is published and `VerificationError` is raised.
    """
    told = told or Told()
    log(f"reading {source}")
    snapshot = read_snapshot(source, told.logits)
    check_architecture(snapshot.architecture, recipe)
    check_runs_here(recipe)
    network = network_of(snapshot)
    needed_bytes = DISK_FACTOR * sum(file.stat().st_size for file in snapshot.weight_files)
    with publishing(target, needed_bytes=needed_bytes) as work:
        with staged(source, snapshot) as folder:
            pretrained = load_pretrained(folder, snapshot)
            tokenizer = served_tokenizer(pretrained, snapshot)
            contract = contract_of(folder, snapshot, network, pretrained, told)
            log("asking the model's own pipeline for the reference")
            cases = reference_cases(added_tokens_of(pretrained), count_tokens_of(pretrained), contract.max_tokens)
            reference = make_reference(folder, snapshot, network, pretrained, contract, cases)
        tokenizer.save(str(work / TOKENIZER_FILE), pretty=False)
        (work / CONFIG_FILE).write_text(_as_json(snapshot.config), encoding="utf-8")
        reference.save(work / REFERENCE_FILE)
        origin = WeightsSource(name, files_sha256(snapshot.weight_files))

        def describe(kind: Recipe, identity_sha256: str, **details: Any) -> None:
            write_manifest(
                work,
                kind,
                origin,
                contract=asdict(contract),
                weights_sha256=reference.weights_sha256,
                identity_sha256=identity_sha256,
                details={"opset": OPSET, **details},
            )

        log(f"building {recipe}")
        # Until the graph is rewritten, this is an FP32 engine, against whose answers the effect of rounding is
        # measured.
        describe(choose_recipe(), reference.weights_sha256)
        details = _export(work / MODEL_FILE, snapshot, network, recipe)
        if recipe.precision in compare.ROUNDED_PRECISIONS:
            log("asking the FP32 engine for more answers")
            reference = with_rounding_cases(work, reference, name, samples, contract.languages)
        details |= rewrite(work / MODEL_FILE, snapshot.config, asdict(contract), recipe)
        if recipe.is_source and samples is not None:
            write_samples(samples, work / SAMPLES_FILE)
        describe(recipe, details.pop("identity_sha256", reference.weights_sha256), **details)
        log("comparing the engine with the reference")
        return verify_folder(work, reference, recipe, name)


def restore_snapshot(engine: Path, target: Path) -> None:
    """Write the ModelScope snapshot with the weights of the `w8` engine in the folder `engine` to `target`."""
    manifest = read_manifest(engine)
    precision, architecture = manifest.get("precision"), manifest.get("architecture")
    if (precision, architecture) != ("w8", STRUCTBERT):
        raise SnapshotError(
            f"{engine} is a {precision} engine of {architecture}; "
            "only a w8 engine of structbert keeps the weights of its snapshot"
        )
    config = json.loads((engine / CONFIG_FILE).read_text(encoding="utf-8"))
    weights = {name: torch.from_numpy(value.copy()) for name, value in read_weights(engine / MODEL_FILE).items()}
    tokenizer = json.loads((engine / TOKENIZER_FILE).read_text(encoding="utf-8"))
    tokens = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    vocabulary = [tokens[number] for number in range(len(tokens))]
    lower_case = any(part["type"] == "Lowercase" for part in tokenizer["normalizer"]["normalizers"])
    added = {t["content"]: t["id"] for t in tokenizer["added_tokens"] if t["id"] >= len(vocabulary)}
    text = "\n".join(vocabulary) + "\n"
    needed_bytes = DISK_FACTOR * sum(value.nbytes for value in weights.values())
    with publishing(target, needed_bytes=needed_bytes) as work:
        write_snapshot(Snapshot(config, weights, text, lower_case, added_tokens=added), work)


def _export(path: Path, snapshot: Snapshot, network: PreTrainedModel, recipe: Recipe) -> dict[str, Any]:
    """Write the graph to `path`, in FP32 or with 8-bit weights; returns further entries for the manifest."""
    details: dict[str, Any] = {}
    weights = arrays_of(network)
    if recipe.precision == "w8":
        weights = quantize_dequantize(weights)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()}, strict=False)
        details["identity_sha256"] = digest_of(weights)
    export_onnx(network, path, snapshot.logits)
    onnx.save(read_first_token_alone(onnx.load(path)), path)
    if recipe.precision == "w8":
        store_weights_in_8_bits(path, weights, path)
    return details


def _as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
