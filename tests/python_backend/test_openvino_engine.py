"""bfloat16 in OpenVINO; on a processor without it, engines are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from python_backend.engine import Lanes, check_runtime, run_requests
from python_backend.errors import EngineError
from python_backend.onnx_engine import OnnxEngine
from python_backend.openvino_engine import OpenVinoEngine, check_processor
from python_backend.rows import Rows
from tests.bfloat16 import HAS_BFLOAT16

ENGINE = Path(__file__).parents[1] / "golden/deep"
MAX_TOKENS = 509
Check = Callable[[OpenVinoEngine], None]


def with_engine(check: Check) -> None:
    """Run `check` on an engine, where the processor can compute it."""
    if HAS_BFLOAT16:
        check(OpenVinoEngine(ENGINE, "bf16", max_tokens=MAX_TOKENS, threads=1, lanes=2))
    else:
        with pytest.raises(EngineError, match="no bfloat16 instructions"):
            check_runtime("bf16")


def rows(count: int) -> list[Rows]:
    """Of one row each, of random lengths."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(3, MAX_TOKENS + 1, count)
    ids = [rng.integers(5, 200, (1, length)) for length in lengths]
    return [
        {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        for row in ids
    ]


def test_the_logits_of_a_row_are_the_same_to_the_bit_in_any_batch() -> None:
    def check(engine: OpenVinoEngine) -> None:
        pool = rows(64)
        alone = np.concatenate([run_requests(engine, [row])[0] for row in pool])
        assert alone.std() > 0.3, "rows must differ, or the test could not fail"
        rng = np.random.default_rng(4)
        for _ in range(30):
            chosen = rng.choice(len(pool), size=int(rng.integers(2, 65)), replace=False)
            for lanes in (None, Lanes(2)):
                together = np.concatenate(run_requests(engine, [pool[i] for i in chosen], lanes))
                np.testing.assert_array_equal(together, alone[chosen])

    with_engine(check)


def test_logits_are_near_those_of_fp32_and_not_the_same() -> None:
    def check(engine: OpenVinoEngine) -> None:
        exact = np.concatenate(run_requests(OnnxEngine(ENGINE), rows(64)))
        rounded = np.concatenate(run_requests(engine, rows(64)))
        assert 0 < np.abs(rounded - exact).max() < 0.1

    with_engine(check)


def test_no_row_is_padded_beyond_what_the_model_takes() -> None:
    def check(engine: OpenVinoEngine) -> None:
        assert engine.widths(np.array([1, 8, 9, 504, 505, 509])).tolist() == [8, 8, 16, 504, 509, 509]

    with_engine(check)


def test_a_missing_or_invalid_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"model\.onnx is missing"):
        OpenVinoEngine(tmp_path, "bf16", max_tokens=8)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"model\.onnx cannot be loaded"):
        OpenVinoEngine(tmp_path, "bf16", max_tokens=8)


def test_a_processor_that_would_compute_in_fp32_is_refused() -> None:
    check_processor(["FP32", "INT8", "BF16"])
    with pytest.raises(EngineError, match=r"no bfloat16 instructions .* build an fp32 or int8 engine"):
        check_processor(["FP32", "INT8"])
