"""Runs token rows through an ONNX engine. Knows nothing about text, requests or Triton."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from python_backend.batching import plan_runs
from python_backend.errors import EngineError
from python_backend.manifest import MODEL_FILE
from python_backend.rows import Rows

ITEM_SHAPE = "item_shape"
"""Input of a ragged front, `[n, 1]` int32: the length of each row."""
MAX_ROWS_PER_RUN = 32
MAX_CELLS_PER_RUN = 4_096
"""Padded tokens of one run: bounds its memory, and by that the memory of the process."""


class Engine(Protocol):
    """Three logits for each row: `rows` of `[n, s]` int64 give `[n, 3]` float32."""

    def run(self, rows: Rows) -> NDArray[np.float32]: ...


class OnnxEngine:
    """`model.onnx` of an engine folder on the CPU, with a padded or a ragged front.

    A row's logits depend on the row alone, in every precision that `wanneng engine build` offers.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        path = folder / MODEL_FILE
        if not path.exists():
            raise EngineError(f"{path} is missing: the engine has no weights")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin would take the cores from the stubs beside this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no common base for its errors
            raise EngineError(f"{path} cannot be loaded: {error}") from None
        self._ragged = ITEM_SHAPE in {i.name for i in self._session.get_inputs()}

    def run(self, rows: Rows) -> NDArray[np.float32]:
        logits = self._session.run(["logits"], _flat(rows) if self._ragged else rows)[0]
        return np.asarray(logits, dtype=np.float32)


def _flat(rows: Rows) -> dict[str, NDArray[Any]]:
    """What Triton's own onnxruntime backend gives a ragged front: every row's tokens in turn, and their number."""
    inside = rows["attention_mask"].astype(bool)
    flat: dict[str, NDArray[Any]] = {name: values[inside] for name, values in rows.items()}
    return flat | {ITEM_SHAPE: inside.sum(axis=1, dtype=np.int32)[:, np.newaxis]}


def run_requests(engine: Engine, requests: Sequence[Rows]) -> list[NDArray[np.float32]]:
    """Logits (`[n_i, 3]`) of each request, from runs that mix the rows of all.

    A row keeps only its own tokens: the padding that its request gave it is dropped before it is grouped.
    """
    owners = np.concatenate([np.full(len(r["input_ids"]), i) for i, r in enumerate(requests)])
    places = np.concatenate([np.arange(len(r["input_ids"])) for r in requests])
    lengths = np.concatenate([r["attention_mask"].sum(axis=1) for r in requests])
    results = [np.empty((len(r["input_ids"]), 3), dtype=np.float32) for r in requests]
    plan = plan_runs(lengths.tolist(), max_rows=MAX_ROWS_PER_RUN, max_cells=MAX_CELLS_PER_RUN)
    for run in plan:
        longest = int(lengths[run].max())
        rows: Rows = {}
        for name in requests[0]:
            rows[name] = np.zeros((len(run), longest), dtype=np.int64)
            for row, index in enumerate(run):
                source = requests[owners[index]][name][places[index]]
                kept = int(lengths[index])
                rows[name][row, :kept] = source[:kept]
        for row, logits in zip(run, engine.run(rows), strict=True):
            results[owners[row]][places[row]] = logits
    return results
