"""Whether this processor has bfloat16: elsewhere bf16 engines are refused, which tests/python_backend checks."""

from __future__ import annotations

from python_backend.openvino_engine import capabilities

HAS_BFLOAT16 = "BF16" in capabilities()
