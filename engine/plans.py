"""A padded FP32 engine becomes TensorRT plans, one for each length bucket. Reaches TensorRT by a port."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from engine.derive import MODEL_FILE, read_source
from engine.fuse import halve
from engine.manifest import FILE_NAME as MANIFEST_FILE
from engine.manifest import Source, write_manifest
from engine.publish import published
from engine.recipe import INPUTS, MAX_PAIRS, Recipe, plan_path
from engine.verification import compare
from engine.verification.reference import FILE_NAME as REFERENCE_FILE
from engine.verification.reference import Row, load_reference

DISK_FACTOR = 8
"""Bytes needed for each byte of the ONNX file: five plans in FP16, its own rewrite, and some room."""

Say = Callable[[str], None]
AskTriton = Callable[[Path, Sequence[Row]], NDArray[np.float32]]
"""Starts a Triton on the plans in a folder and gives the logits of the rows, `[n, 3]`."""


class PlanBuilder(Protocol):
    """TensorRT, or its double."""

    @property
    def version(self) -> str: ...

    def compute_capability(self) -> str: ...

    def build_plan(self, onnx: Path, *, inputs: tuple[str, ...], tokens: int, max_pairs: int) -> bytes: ...


def build_plans(
    source: Path, target: Path, recipe: Recipe, builder: PlanBuilder, ask_triton: AskTriton, *, say: Say
) -> compare.Report:
    """Build the engine folder `source` (cpu, fp32, padded) into the new folder `target`, prove it, publish it.

    `target` holds `structbert_s<bucket>/1/model.sm<capability>.plan`, which the chart mounts into Triton's models.
    """
    facts = read_source(source)
    reference = load_reference(source / REFERENCE_FILE)
    capability = builder.compute_capability()
    with published(target, needed_bytes=DISK_FACTOR * (source / MODEL_FILE).stat().st_size) as work:
        for file in source.iterdir():
            if file.name not in (MODEL_FILE, MANIFEST_FILE, compare.FILE_NAME):
                shutil.copyfile(file, work / file.name)
        graph = onnx.load(source / MODEL_FILE)
        onnx_file = work / MODEL_FILE
        onnx.save(halve(graph) if recipe.precision == "fp16" else graph, onnx_file)
        for place, (tokens, max_pairs) in enumerate(_buckets(facts["max_tokens"]).items(), start=1):
            say(f"building plan {place} for {tokens} tokens, compute capability {capability}")
            plan = builder.build_plan(onnx_file, inputs=INPUTS, tokens=tokens, max_pairs=max_pairs)
            path = plan_path(work, tokens, capability)
            path.parent.mkdir(parents=True)
            path.write_bytes(plan)
        write_manifest(
            work,
            recipe,
            Source(facts["name"], facts["source_sha256"]),
            config={"max_position_embeddings": facts["max_tokens"], "vocab_size": facts["vocabulary"]},
            weights_sha256=facts["weights_sha256"],
            identity_sha256=facts["weights_sha256"],
            extra={
                "opset": facts["opset"],
                "compute_capability": capability,
                "tensorrt": builder.version,
                "buckets": list(_buckets(facts["max_tokens"])),
            },
        )
        say("comparing a Triton on these plans with the reference")
        logits = ask_triton(work, reference.rows)
        return compare.prove(
            work, reference, logits, name=facts["name"], precision=recipe.precision, tolerance=recipe.tolerance
        )


def _buckets(max_tokens: int) -> dict[int, int]:
    """Buckets that a model of this many tokens needs: up to the first that holds them all."""
    first = min((tokens for tokens in MAX_PAIRS if tokens >= max_tokens), default=max(MAX_PAIRS))
    return {tokens: pairs for tokens, pairs in MAX_PAIRS.items() if tokens <= first}
