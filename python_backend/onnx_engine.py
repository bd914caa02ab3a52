"""Runs token rows in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from python_backend.errors import EngineError
from python_backend.manifest import model_file
from python_backend.rows import Rows

SHAPE = "_shape"
"""Suffix of the additional inputs of an engine with ragged inputs, `[n, 1]` int32: the width of each row."""


class OnnxEngine:
    """The `model.onnx` of an engine folder, with padded or ragged inputs.

    `threads`: threads of one run, 0 for one per core.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        path = model_file(folder)
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
        self._ragged = any(i.name.endswith(SHAPE) for i in self._session.get_inputs())

    def widths(self, lengths: NDArray[np.int64]) -> None:
        """Padding changes nothing."""

    def run(self, rows: Rows) -> NDArray[np.float32]:
        """Logits `[n, 3]` of `rows`, in one run of the session."""
        logits = self._session.run(["logits"], flatten([rows]) if self._ragged else rows)[0]
        return np.asarray(logits, dtype=np.float32)


def flatten(requests: Sequence[Rows]) -> dict[str, NDArray[Any]]:
    """Ragged inputs as Triton's onnxruntime backend passes them: all values of each input, and the row widths.

    `[sum of widths]` int64 and, with the suffix `SHAPE`, `[n, 1]` int32.
    """
    flat: dict[str, NDArray[Any]] = {}
    for name in requests[0]:
        flat[name] = np.concatenate([rows[name].ravel() for rows in requests])
        widths = [np.full((len(rows[name]), 1), rows[name].shape[1], dtype=np.int32) for rows in requests]
        flat[name + SHAPE] = np.concatenate(widths)
    return flat
