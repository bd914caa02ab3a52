"""A plan builder without TensorRT: a plan says what was asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class FakePlanBuilder:
    """Plans are JSON: tokens, pairs, and the size of the ONNX file. `failing_tokens` fail as TensorRT does."""

    version: str = "11.0.0"
    capability: str = "8.6"
    failing_tokens: tuple[int, ...] = ()
    asked: list[tuple[int, int]] = field(default_factory=list)

    def compute_capability(self) -> str:
        return self.capability

    def build_plan(self, onnx: Path, *, inputs: tuple[str, ...], tokens: int, max_pairs: int) -> bytes:
        from engine.errors import BuildError

        if tokens in self.failing_tokens:
            raise BuildError(f"TensorRT built no plan for {max_pairs} pairs of {tokens} tokens; its log says why")
        self.asked.append((tokens, max_pairs))
        facts = {"tokens": tokens, "pairs": max_pairs, "inputs": inputs, "onnx_bytes": onnx.stat().st_size}
        return json.dumps(facts).encode()
