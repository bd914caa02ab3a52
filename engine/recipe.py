"""The kinds of engine that can be built, and the inputs, outputs and file names that they share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import BuildError
from engine.verification.compare import ROUNDED_PRECISIONS, Tolerance, tolerance_of

PRECISIONS = {
    "cpu": ("fp32", "bf16", "int8", "w8"),
    "cuda": ("fp16", "fp32"),
    "tensorrt": ("fp16", "fp32"),
}
"""Precisions per target, the default first. `w8` has 8-bit weights and FP32 arithmetic; `int8` multiplies
in 8 bits; `bf16` has FP32 weights, which OpenVINO rounds when it loads them, and bfloat16 arithmetic.

There is no fp16 for CPUs, where ONNX Runtime would convert every product to FP32, and no int8 for GPUs, where it
has not been measured.
"""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Inputs of every engine, in this order: `[n, s]` int64, or flat if they are ragged."""
OUTPUT = "logits"
"""Output of every engine, `[n, 3]` float32, in `LABEL_ORDER`."""
LABEL_ORDER = ("entailment", "neutral", "contradiction")
ABSENT_LOGITS = {"neutral": -10_000.0, "contradiction": 0.0}
"""Constants for logits that a model lacks: no probability for a missing neutral, and for one logit its sigmoid.

The first is finite and fits FP16.
"""
MAX_TOKENS = 512
"""Of a pair, at most: the longest length bucket, and what bounds the memory of a batch."""
MAX_PAIRS = {32: 256, 64: 128, 128: 64, 256: 64, 512: 64}
"""Length buckets in tokens, and their maximum pairs per batch: 8,192 tokens, but at least a request's 64 pairs."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of engine."""

    target: str
    """`cpu`: ONNX Runtime on CPUs, or OpenVINO for `bf16` and `int8`; `cuda`: ONNX Runtime on GPUs; `tensorrt`: a
    TensorRT plan per length bucket."""
    precision: str
    ragged: bool
    """Whether inputs are flat, for Triton's onnxruntime backend, or `[n, s]` with padding."""

    tolerance: Tolerance
    """Largest accepted difference from PyTorch."""

    def __str__(self) -> str:
        return f"{self.target} {self.precision} {self.front}"

    @property
    def is_source(self) -> bool:
        """Whether engines of other kinds can be built from it."""
        return (self.target, self.precision, self.ragged) == ("cpu", "fp32", False)

    @property
    def front(self) -> str:
        """Layout of the inputs: `ragged` or `padded`."""
        return "ragged" if self.ragged else "padded"


def choose_recipe(
    target: str = "cpu",
    precision: str | None = None,
    ragged: bool | None = None,
    max_logit_difference: float | None = None,
) -> Recipe:
    """The recipe for these options of `wanneng engine build`; `BuildError` for a kind that does not exist.

    By default an engine has the first precision of its target, the tolerance of its precision, and ragged inputs
    for `cuda` only.
    """
    if target not in PRECISIONS:
        raise BuildError(f"--target {target} does not exist; choose {', '.join(PRECISIONS)}")
    precision = precision or PRECISIONS[target][0]
    if precision not in PRECISIONS[target]:
        raise BuildError(
            f"--precision {precision} does not exist for --target {target}; choose {', '.join(PRECISIONS[target])}"
        )
    if ragged and target == "tensorrt":
        raise BuildError("--ragged does not exist for --target tensorrt, whose plans take padded inputs")
    if ragged and precision in ROUNDED_PRECISIONS:
        raise BuildError(
            f"--ragged does not exist for --precision {precision}, which Triton's onnxruntime backend lacks"
        )
    tolerance = tolerance_of(precision, max_logit_difference)
    return Recipe(target, precision, target == "cuda" if ragged is None else ragged, tolerance)


def plan_path(engine: Path, tokens: int) -> Path:
    """File of a bucket's plan, as `default_model_filename` in the model's config names it for every GPU."""
    return engine / f"structbert_s{tokens}" / "1" / "model.plan"
