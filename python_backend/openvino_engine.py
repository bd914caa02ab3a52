"""Runs token rows in OpenVINO on the CPU, with bfloat16 or 8-bit products.

A processor with AVX512-BF16 or AMX multiplies bfloat16 at least twice as fast as FP32, and one with VNNI 8-bit
numbers. ONNX Runtime has no bfloat16 kernels for x86, and its dynamic INT8 rounds a whole batch by one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import openvino
from numpy.typing import NDArray

from python_backend.errors import EngineError
from python_backend.manifest import model_file
from python_backend.rows import Rows

DEVICE = "CPU"
WIDTH_STEP = 8
"""Rows are padded to a multiple of so many tokens. How OpenVINO sums over a row's tokens depends on its width:
other padding changed a logit by up to 0.007 (base size, random weights)."""
ACTIVATION_GROUP = 64
"""Values of a token that are rounded to 8 bits by a scale of their own, as the weights are (`engine.graph.int8`).

Of 2,106 labels of the tiny embedded model, with every product in 8 bits and one scale for each output of the
weights, groups of 64 changed 11 and of 128 22, at 1.1 times the speed (base size)."""
CACHED_KERNELS = 256
"""A shape of a batch has about ten. By default OpenVINO keeps 5,000, which took 0.5 GB more after 1,188 shapes of
the embedded model; a batch whose kernels were not kept takes 1 ms longer."""


class OpenVinoEngine:
    """The `model.onnx` of an engine folder with padded inputs.

    `precision`: `bf16`, or `int8` for a graph with 8-bit weights; `max_tokens`: of a row; `threads`: threads of a
    run, 0 for all cores of all runs; `lanes`: runs at a time.
    """

    def __init__(self, folder: Path, precision: str, *, max_tokens: int, threads: int = 0, lanes: int = 1) -> None:
        path = model_file(folder)
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": ACTIVATION_GROUP,
            "INFERENCE_NUM_THREADS": threads * lanes,
            "NUM_STREAMS": lanes,
            "CPU_RUNTIME_CACHE_CAPACITY": CACHED_KERNELS,
            # Several processes run the engine, and pinned threads of all of them would share the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        try:
            model = openvino.Core().compile_model(path, DEVICE, options)
            for _ in range(lanes):
                self._idle.put(model.create_infer_request())
        except RuntimeError as error:
            raise EngineError(f"{path} cannot be loaded: {error}") from None
        self._max_tokens = max_tokens

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """A multiple of `WIDTH_STEP`, or the most tokens of a row."""
        rounded = -(-lengths // WIDTH_STEP) * WIDTH_STEP
        return np.minimum(rounded, self._max_tokens)

    def run(self, rows: Rows) -> NDArray[np.float32]:
        """Logits `[n, 3]` of `rows`, in one run."""
        request = self._idle.get()
        try:
            return np.array(request.infer(rows)[0], dtype=np.float32)
        finally:
            self._idle.put(request)


def capabilities() -> list[str]:
    """What OpenVINO has instructions for on this processor, such as `BF16`."""
    return list(openvino.Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))


def check_processor(capabilities: Sequence[str]) -> None:
    """`EngineError` where OpenVINO would emulate bfloat16 or compute in FP32."""
    if "BF16" not in capabilities:
        raise EngineError(
            "this processor has no bfloat16 instructions (AVX512-BF16 or AMX), which a bf16 engine needs: "
            "build an fp32 or int8 engine"
        )
