"""What kinds of engine there are, and what they have in common. Builds nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import BuildError
from engine.verification.compare import Tolerance, tolerance_of

PRECISIONS = {
    "cpu": ("fp32", "int8", "w8"),
    "cuda": ("fp16", "fp32"),
    "tensorrt": ("fp16", "fp32"),
}
"""By target; the first is the default. `w8` stores 8-bit weights and computes in FP32.

No fp16 on the CPU, which widens every product; no int8 on GPUs, where nobody has measured it here.
"""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Of every engine, in this order; `[n, s]` int64, or flat where the front is ragged."""
OUTPUT = "logits"
"""`[n, 3]` float32."""
MAX_PAIRS = {32: 256, 64: 128, 128: 64, 256: 64, 512: 64}
"""Length buckets in tokens, and the most pairs of a run: 8,192 cells, but no less than a call's 64 pairs."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One kind of engine."""

    target: str
    """`cpu`: ONNX Runtime; `cuda`: ONNX Runtime on a GPU; `tensorrt`: a plan for each length bucket."""
    precision: str
    ragged: bool
    """Flat rows in, for Triton's own onnxruntime backend; otherwise `[n, s]` with padding."""

    tolerance: Tolerance
    """How far from PyTorch its logits may be."""

    @property
    def is_source(self) -> bool:
        """Whether others are made of it: engines of other precisions and fronts, and plans."""
        return (self.target, self.precision, self.ragged) == ("cpu", "fp32", False)

    @property
    def front(self) -> str:
        return "ragged" if self.ragged else "padded"


def choose_recipe(
    target: str = "cpu",
    precision: str | None = None,
    ragged: bool | None = None,
    max_logit_difference: float | None = None,
) -> Recipe:
    """Defaults filled in: the target's first precision and its tolerance, a ragged front for `cuda` alone."""
    if target not in PRECISIONS:
        raise BuildError(f"--target {target}: {', '.join(PRECISIONS)} are possible")
    chosen = precision or PRECISIONS[target][0]
    if chosen not in PRECISIONS[target]:
        possible = ", ".join(PRECISIONS[target])
        raise BuildError(f"--precision {chosen} does not exist for --target {target}: {possible} do")
    if ragged and target == "tensorrt":
        raise BuildError("--ragged: TensorRT takes padded rows, one plan for each length bucket")
    tolerance = tolerance_of(chosen, max_logit_difference)
    return Recipe(target, chosen, target == "cuda" if ragged is None else ragged, tolerance)


def plan_path(engine: Path, tokens: int, capability: str) -> Path:
    """Where a bucket's plan stands; `cc_model_filenames` of the model's config names the file."""
    return engine / f"structbert_s{tokens}" / "1" / f"model.sm{capability.replace('.', '')}.plan"
