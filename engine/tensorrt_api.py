"""The only module that calls TensorRT: an ONNX file becomes a plan. Knows no folders, no buckets, no Triton.

Runs inside NVIDIA's Triton image, whose TensorRT reads the plan later. Networks are strongly typed: what runs in
FP16 is written in the ONNX file (`engine.fuse.halve`), since TensorRT 11 has no FP16 flag any more.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import tensorrt as trt

from engine.errors import BuildError

WORKSPACE_BYTES = 4 * 1024**3
NVIDIA_SMI_TIMEOUT_S = 30


class TensorRt:
    """TensorRT on the GPU of this machine; timings of kernels are kept in `timing_cache`."""

    def __init__(self, timing_cache: Path | None, *, hardware_compatible: bool) -> None:
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._timing_cache = timing_cache
        self._hardware_compatible = hardware_compatible

    @property
    def version(self) -> str:
        return str(trt.__version__)

    def compute_capability(self) -> str:
        """Such as `8.6`, of the first GPU."""
        command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
        try:
            told = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildError(
                f"no GPU can be asked (nvidia-smi: {error}): plans are built on the GPU they run on"
            ) from None
        return told.stdout.split()[0]

    def build_plan(self, onnx: Path, *, inputs: tuple[str, ...], tokens: int, max_pairs: int) -> bytes:
        """A plan for `[1 to max_pairs, tokens]`, tuned at `max_pairs`."""
        builder = trt.Builder(self._logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse_from_file(str(onnx)):
            faults = "; ".join(str(parser.get_error(place)) for place in range(parser.num_errors))
            raise BuildError(f"TensorRT cannot read {onnx}: {faults}")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        if self._hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        profile = builder.create_optimization_profile()
        for name in inputs:
            profile.set_shape(name, (1, tokens), (max_pairs, tokens), (max_pairs, tokens))
        config.add_optimization_profile(profile)
        cache = config.create_timing_cache(self._read_timings())
        config.set_timing_cache(cache, ignore_mismatch=False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BuildError(f"TensorRT built no plan for {max_pairs} pairs of {tokens} tokens; its log says why")
        if self._timing_cache is not None:
            self._timing_cache.write_bytes(memoryview(cache.serialize()))
        return bytes(memoryview(plan))

    def _read_timings(self) -> bytes:
        if self._timing_cache is None or not self._timing_cache.exists():
            return b""
        return self._timing_cache.read_bytes()
