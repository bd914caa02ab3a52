"""Triton model `structbert` on CPUs: runs the token rows of many requests through the ONNX engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from python_backend.engine import OnnxEngine, run_requests
from python_backend.errors import EngineError, InvalidInput
from python_backend.manifest import load_manifest
from python_backend.rows import Rows, check_rows
from python_backend.settings import load_settings
from python_backend.triton import tensors
from python_backend.triton.requests import attempt, named

SLOW_S = 1.0
"""Executions that take longer are logged, with the requests that waited for them."""

log = logging.getLogger(__name__)


class StructBertModel:
    """One execution takes all requests that Triton's dynamic batcher merged, with rows of any lengths."""

    def initialize(self, args: dict[str, str]) -> None:
        settings = load_settings()
        self._manifest = load_manifest(settings.engine_folder)
        self._engine = OnnxEngine(settings.engine_folder, threads=settings.engine_threads)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        checked = [self._valid_rows(request) for request in requests]
        logits = self._run([rows for rows in checked if not isinstance(rows, InvalidInput)], requests)
        return [
            attempt(partial(_answer, rows, logits), request)
            for rows, request in zip(checked, requests, strict=True)
        ]

    def _valid_rows(self, request: Any) -> Rows | InvalidInput:
        rows = {name: tensors.array(request, name) for name in tensors.ENGINE_INPUTS}
        try:
            check_rows(rows, self._manifest)
        except InvalidInput as error:
            return error
        return rows

    def _run(self, rows: list[Rows], requests: Sequence[Any]) -> Iterator[NDArray[np.float32] | EngineError]:
        """Logits of each request in order, or the same error for each where the engine failed."""
        if not rows:
            return iter(())
        began = time.monotonic()
        try:
            return iter(run_requests(self._engine, rows))
        except Exception:
            log.exception("the engine failed on %d requests", len(requests), extra=named(requests))
            return iter([EngineError("the engine failed; see the server's log")] * len(rows))
        finally:
            seconds = time.monotonic() - began
            if seconds >= SLOW_S:
                log.info("an execution took %.1f s", seconds, extra=named(requests))


def _answer(rows: Rows | InvalidInput, logits: Iterator[NDArray[np.float32] | EngineError]) -> list[Any]:
    if isinstance(rows, InvalidInput):
        raise rows
    result = next(logits)
    if isinstance(result, EngineError):
        raise result
    return [tensors.output(tensors.LOGITS, result)]
