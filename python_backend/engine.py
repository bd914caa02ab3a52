"""Runs token rows through an ONNX engine on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from python_backend.batching import plan_batches
from python_backend.errors import EngineError
from python_backend.manifest import MODEL_FILE
from python_backend.rows import Rows

ITEM_SHAPE = "item_shape"
"""Additional input of an engine with ragged inputs, `[n, 1]` int32: the length of each row in tokens."""
MAX_BATCH_ROWS = 32
MAX_BATCH_TOKENS = 4_096
"""Tokens of a batch, padding included: they bound the memory of a run, and so that of the process."""


class InferenceEngine(Protocol):
    """Maps `rows` of `[n, s]` int64 to logits `[n, 3]` float32."""

    def run(self, rows: Rows) -> NDArray[np.float32]: ...


class OnnxEngine:
    """The `model.onnx` of an engine folder, with padded or ragged inputs.

    The logits of a row do not depend on the other rows of its batch, in any precision that `wanneng engine build`
    offers for CPUs. `threads`: threads of one run, 0 for one per core.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        path = folder / MODEL_FILE
        if not path.exists():
            raise EngineError(f"{path} is missing: the engine has no weights")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning idle threads would take the cores from the other models' processes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no common base class for its errors
            raise EngineError(f"{path} cannot be loaded: {error}") from None
        self._ragged = ITEM_SHAPE in {i.name for i in self._session.get_inputs()}

    def run(self, rows: Rows) -> NDArray[np.float32]:
        """Logits `[n, 3]` of `rows`, in one run of the session."""
        logits = self._session.run(["logits"], _flatten(rows) if self._ragged else rows)[0]
        return np.asarray(logits, dtype=np.float32)


def _flatten(rows: Rows) -> dict[str, NDArray[Any]]:
    """Ragged inputs as Triton's onnxruntime backend passes them: all tokens concatenated, and the row lengths."""
    is_token = rows["attention_mask"].astype(bool)
    flat: dict[str, NDArray[Any]] = {name: values[is_token] for name, values in rows.items()}
    return flat | {ITEM_SHAPE: is_token.sum(axis=1, dtype=np.int32)[:, np.newaxis]}


def run_requests(engine: InferenceEngine, requests: Sequence[Rows]) -> list[NDArray[np.float32]]:
    """Logits (`[n_i, 3]`, float32) of each request, from batches that mix the rows of all requests.

    Rows lose the padding of their request and are padded again to the longest row of their batch.
    """
    owners = np.concatenate([np.full(len(r["input_ids"]), i) for i, r in enumerate(requests)])
    row_numbers = np.concatenate([np.arange(len(r["input_ids"])) for r in requests])
    lengths = np.concatenate([r["attention_mask"].sum(axis=1) for r in requests])
    results = [np.empty((len(r["input_ids"]), 3), dtype=np.float32) for r in requests]
    for batch in plan_batches(lengths.tolist(), max_rows=MAX_BATCH_ROWS, max_padded_tokens=MAX_BATCH_TOKENS):
        max_length = int(lengths[batch].max())
        rows: Rows = {}
        for name in requests[0]:
            rows[name] = np.zeros((len(batch), max_length), dtype=np.int64)
            for row, index in enumerate(batch):
                length = int(lengths[index])
                rows[name][row, :length] = requests[owners[index]][name][row_numbers[index]][:length]
        for index, logits in zip(batch, engine.run(rows), strict=True):
            results[owners[index]][row_numbers[index]] = logits
    return results
