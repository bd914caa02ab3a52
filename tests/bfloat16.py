"""Whether this processor has bfloat16: elsewhere bf16 engines are refused, which tests/python_backend checks."""

from __future__ import annotations

import openvino

HAS_BFLOAT16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
