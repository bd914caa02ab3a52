"""Builds a plan from an ONNX file with TensorRT, which no other module imports.

Runs inside NVIDIA's Triton image, whose TensorRT loads the plan later. Networks are strongly typed, because
TensorRT 11 has no FP16 flag any more: the types in the ONNX file decide (`engine.graph.fusion.convert_to_fp16`).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import tensorrt as trt

from engine.errors import BuildError

WORKSPACE_BYTES = 4 * 1024**3
"""GPU memory that TensorRT may use for temporary tensors."""
NVIDIA_SMI_TIMEOUT_S = 30


class TensorRt:
    """TensorRT on the GPU of this machine.

    `timing_cache`: file that keeps kernel timings between builds; `hardware_compatible`: build plans that run on
    every GPU from Ampere on, somewhat slower.
    """

    def __init__(self, timing_cache: Path | None, *, hardware_compatible: bool) -> None:
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._timing_cache = timing_cache
        self._hardware_compatible = hardware_compatible

    @property
    def version(self) -> str:
        return str(trt.__version__)

    def compute_capability(self) -> str:
        """Compute capability of the first GPU, such as `8.6`."""
        command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
        try:
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildError(
                f"nvidia-smi finds no GPU ({error}); build plans on a machine with the GPU that will run them"
            ) from None
        return done.stdout.split()[0]

    def build_plan(self, onnx: Path, *, inputs: tuple[str, ...], tokens: int, max_pairs: int) -> bytes:
        """The plan of the graph `onnx` for inputs `[1 … max_pairs, tokens]`, optimized for `max_pairs`."""
        builder = trt.Builder(self._logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse_from_file(str(onnx)):
            faults = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
            raise BuildError(f"TensorRT cannot parse {onnx}: {faults}")
        config = builder.create_builder_config()
        # FP32 products in FP32: with TF32 logits differ from the reference by more than its tolerance.
        config.clear_flag(trt.BuilderFlag.TF32)
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        if self._hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        profile = builder.create_optimization_profile()
        for name in inputs:
            profile.set_shape(name, (1, tokens), (max_pairs, tokens), (max_pairs, tokens))
        config.add_optimization_profile(profile)
        cache = config.create_timing_cache(self._read_timing_cache())
        config.set_timing_cache(cache, ignore_mismatch=False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BuildError(f"TensorRT built no plan for {max_pairs} pairs of {tokens} tokens; see its log")
        if self._timing_cache is not None:
            self._timing_cache.write_bytes(memoryview(cache.serialize()))
        return bytes(memoryview(plan))

    def _read_timing_cache(self) -> bytes:
        if self._timing_cache is None or not self._timing_cache.exists():
            return b""
        return self._timing_cache.read_bytes()
