import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from python_backend.engine import Lanes, run_requests
from python_backend.errors import EngineError
from python_backend.onnx_engine import OnnxEngine
from python_backend.rows import Rows

ENGINE = Path(__file__).parents[1] / "golden/small"


class EchoEngine:
    """Returns the length, the first id and the sum of ids of each row as its logits; records the batch shapes."""

    def __init__(self, step: int | None = None) -> None:
        self._step = step
        self.shapes: list[tuple[int, ...]] = []

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64] | None:
        return None if self._step is None else -(-lengths // self._step) * self._step

    def run(self, rows: Rows) -> NDArray[np.float32]:
        ids, mask = rows["input_ids"], rows["attention_mask"]
        self.shapes.append(ids.shape)
        assert (ids[mask == 0] == 0).all()
        return np.stack([mask.sum(1), ids[:, 0], ids.sum(1)], axis=1).astype(np.float32)


def request(lengths: list[int], first_id: int, width: int) -> Rows:
    ids = np.zeros((len(lengths), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = first_id + row
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def test_each_request_gets_the_logits_of_its_rows_in_order() -> None:
    engine = EchoEngine()
    results = run_requests(engine, [request([9, 3], 100, 60), request([200], 300, 200), request([4], 500, 4)])
    assert [result[:, :2].tolist() for result in results] == [
        [[9, 100], [3, 101]], [[200, 300]], [[4, 500]],
    ]  # fmt: skip


def test_the_padding_of_a_request_is_dropped() -> None:
    engine = EchoEngine()
    run_requests(engine, [request([5, 5, 5, 5, 5], 1, 500)])
    assert engine.shapes == [(5, 5)]


def test_rows_are_padded_as_the_engine_needs_it_and_not_mixed_with_wider_ones() -> None:
    engine = EchoEngine(step=8)
    results = run_requests(engine, [request([9, 3], 100, 60), request([16, 8], 300, 20)])
    assert engine.shapes == [(2, 8), (2, 16)]
    assert [result[:, 0].tolist() for result in results] == [[9, 3], [16, 8]]


def test_the_logits_of_a_row_do_not_depend_on_its_batch() -> None:
    engine = OnnxEngine(ENGINE, threads=1)
    rng = np.random.default_rng(3)
    lengths = rng.integers(3, 120, 40)
    rows = [request([int(n)], int(rng.integers(5, 200)), int(n)) for n in lengths]
    alone = np.concatenate([run_requests(engine, [row])[0] for row in rows])
    together = np.concatenate(run_requests(engine, rows))
    np.testing.assert_allclose(together, alone, atol=1e-5)


class EngineOfTwo(EchoEngine):
    """Waits in each run for a second one; fails rows whose first id is `poison`."""

    def __init__(self, poison: int | None = None) -> None:
        super().__init__()
        self._both = threading.Barrier(2, timeout=10)
        self._poison = poison

    def run(self, rows: Rows) -> NDArray[np.float32]:
        self._both.wait()
        if self._poison in rows["input_ids"][:, 0]:
            raise EngineError("poisoned")
        return super().run(rows)


def test_lanes_run_their_shares_at_the_same_time_and_each_row_once() -> None:
    engine, prepared = EngineOfTwo(), list[str]()
    lanes = Lanes(2, lambda: prepared.append(threading.current_thread().name))
    results = run_requests(engine, [request([9, 8, 9], 100, 60), request([9, 9], 300, 9)], lanes)
    assert [result[:, :2].tolist() for result in results] == [
        [[9, 100], [8, 101], [9, 102]], [[9, 300], [9, 301]],
    ]  # fmt: skip
    assert sorted(rows for rows, _ in engine.shapes) == [2, 3]
    assert len(set(prepared)) == 2


def test_an_error_in_one_lane_is_the_callers() -> None:
    with pytest.raises(EngineError, match="poisoned"):
        run_requests(EngineOfTwo(poison=101), [request([9, 8], 100, 60)], Lanes(2))


def test_a_single_row_is_not_shared() -> None:
    engine = EchoEngine()
    assert run_requests(engine, [request([9], 100, 60)], Lanes(2))[0].tolist() == [[9, 100, 900]]
    assert engine.shapes == [(1, 9)]


def test_a_missing_or_invalid_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"model\.onnx is missing"):
        OnnxEngine(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"model\.onnx cannot be loaded"):
        OnnxEngine(tmp_path)
