"""Builds TensorRT plans from a padded FP32 engine, one per length bucket."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import onnx

from engine.derive import MODEL_FILE, read_source
from engine.graph.fusion import convert_to_fp16
from engine.manifest import FILE_NAME as MANIFEST_FILE
from engine.manifest import WeightsSource, contract_in, write_manifest
from engine.publish import publishing
from engine.recipe import INPUTS, MAX_PAIRS, Recipe, plan_path
from engine.verification import compare
from engine.verification.reference import FILE_NAME as REFERENCE_FILE
from engine.verification.reference import Answer, Case, load_reference

DISK_FACTOR = 8
"""Disk space for a build, as a multiple of the ONNX file: five FP16 plans, the rewritten graph, and a margin."""

Log = Callable[[str], None]
RunPlans = Callable[[Path, Sequence[Case]], list[Answer]]
"""Serves the plans in a folder with Triton and returns its answers."""


class PlanBuilder(Protocol):
    """TensorRT on the GPU of this machine, or a fake."""

    @property
    def version(self) -> str: ...

    def compute_capability(self) -> str:
        """Of the GPU, such as `8.6`."""
        ...

    def build_plan(self, onnx: Path, *, inputs: tuple[str, ...], tokens: int, max_pairs: int) -> bytes:
        """The plan of the graph `onnx` for inputs `[1 … max_pairs, tokens]`."""
        ...


def build_plans(
    source: Path, target: Path, recipe: Recipe, builder: PlanBuilder, run_plans: RunPlans, *, log: Log
) -> compare.Report:
    """Build plans from the engine `source` (cpu fp32 padded), verify them, and publish them as `target`.

    The plans are `structbert_s<bucket>/1/model.plan`, which the chart mounts into Triton's model
    repository. `SnapshotError` for another source. Unless the logits of the plans equal PyTorch's within the
    tolerance of their precision, nothing is published and `VerificationError` is raised.
    """
    source_manifest = read_source(source)
    reference = load_reference(source / REFERENCE_FILE)
    capability = builder.compute_capability()
    with publishing(target, needed_bytes=DISK_FACTOR * (source / MODEL_FILE).stat().st_size) as work:
        for file in source.iterdir():
            if file.name not in (MODEL_FILE, MANIFEST_FILE, compare.REPORT_FILE):
                shutil.copyfile(file, work / file.name)
        graph = onnx.load(source / MODEL_FILE)
        onnx_file = work / MODEL_FILE
        onnx.save(convert_to_fp16(graph) if recipe.precision == "fp16" else graph, onnx_file)
        buckets = _buckets(source_manifest["max_tokens"])
        for number, (tokens, max_pairs) in enumerate(buckets.items(), start=1):
            log(f"building plan {number} of {len(buckets)}: {tokens} tokens, compute capability {capability}")
            plan = builder.build_plan(onnx_file, inputs=INPUTS, tokens=tokens, max_pairs=max_pairs)
            path = plan_path(work, tokens)
            path.parent.mkdir(parents=True)
            path.write_bytes(plan)
        write_manifest(
            work,
            recipe,
            WeightsSource(source_manifest["name"], source_manifest["source_sha256"]),
            contract=contract_in(source_manifest),
            weights_sha256=source_manifest["weights_sha256"],
            identity_sha256=source_manifest["weights_sha256"],
            details={
                "opset": source_manifest["opset"],
                "compute_capability": capability,
                "tensorrt": builder.version,
                "buckets": list(buckets),
            },
        )
        log("comparing the plans, served by Triton, with the reference")
        report = compare.compare(
            reference,
            run_plans(work, reference.cases),
            target=source_manifest["name"],
            precision=recipe.precision,
            tolerance=recipe.tolerance,
        )
        return compare.require_agreement(work, report)


def _buckets(max_tokens: int) -> dict[int, int]:
    """The buckets that a model of `max_tokens` needs, with their maximum pairs."""
    longest = min((tokens for tokens in MAX_PAIRS if tokens >= max_tokens), default=max(MAX_PAIRS))
    return {tokens: pairs for tokens, pairs in MAX_PAIRS.items() if tokens <= longest}
