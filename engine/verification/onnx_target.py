"""Runs rows through an ONNX file, with padded or ragged inputs, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engine.errors import TargetError
from engine.verification.reference import TokenRow, pad_rows

ITEM_SHAPE = "item_shape"
"""Additional input of a graph with ragged inputs: the length of each row."""
ROWS_PER_RUN = 8


class OnnxTarget:
    """`model.onnx` of an engine folder, or any ONNX file with the engine's inputs."""

    def __init__(self, path: Path) -> None:
        self._path = path / "model.onnx" if path.is_dir() else path
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no common base class for its errors
            raise TargetError(f"{self._path} cannot be loaded: {error}") from None
        self._ragged = ITEM_SHAPE in {i.name for i in self._session.get_inputs()}

    def logits(self, rows: Sequence[TokenRow]) -> NDArray[np.float32]:
        """Logits `[n, 3]`, float32; rows of different lengths share a batch, as on a server."""
        batches = [rows[i : i + ROWS_PER_RUN] for i in range(0, len(rows), ROWS_PER_RUN)]
        inputs = [_flatten(batch) if self._ragged else pad_rows(batch) for batch in batches]
        try:
            logits = [self._session.run(["logits"], batch)[0] for batch in inputs]
        except Exception as error:  # noqa: BLE001 - as above
            raise TargetError(f"{self._path} fails on the reference's rows: {error}") from None
        result: NDArray[np.float32] = np.concatenate(logits).astype(np.float32)
        return result


def _flatten(rows: Sequence[TokenRow]) -> dict[str, NDArray[np.int64] | NDArray[np.int32]]:
    ids = np.concatenate([row.ids for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.concatenate([row.types for row in rows]),
        ITEM_SHAPE: np.array([[len(row.ids)] for row in rows], dtype=np.int32),
    }
