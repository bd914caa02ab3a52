"""Triton model `structbert` on CPUs: runs the token rows of many requests through the engine."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from python_backend.engine import Lanes, load_engine, run_requests
from python_backend.errors import EngineError, InvalidInput
from python_backend.manifest import load_manifest
from python_backend.rows import Rows, check_rows
from python_backend.settings import load_settings
from python_backend.triton import tensors
from python_backend.triton.requests import attempt, named, send

SLOW_S = 1.0
"""Executions that take longer are logged, with the requests that waited for them."""

SHORT_TOKENS = 192
"""What a small request has at most: a few labels of a short text. The gateway's calls are no larger while tenants
share a slow engine, as far as their pairs allow."""
LANES = 2
"""On so many cores, each runs its own share of the rows. On more, all run every batch together: a single row would
have one core of many, which nobody has measured."""
LONG_NICENESS = 10
"""Of what takes longer: where cores are short, a thread gets a tenth of what one of the usual niceness gets."""

log = logging.getLogger(__name__)


class StructBertModel:
    """One execution takes all requests that Triton's dynamic batcher merged, with rows of any lengths.

    A long one gives way to a short one in another instance, and to the other processes of the server.
    """

    def initialize(self, args: dict[str, str]) -> None:
        settings = load_settings()
        self._manifest = load_manifest(settings.engine_folder)
        threads = settings.engine_threads
        lanes = LANES if (threads or len(os.sched_getaffinity(0))) == LANES else 1
        self._engine = load_engine(
            settings.engine_folder, self._manifest, threads=threads if lanes == 1 else 1, lanes=lanes
        )
        self._short = Lanes(lanes) if lanes > 1 else None
        # No process may raise its priority again, therefore threads have the lower one for good.
        self._long = Lanes(lanes, _lower_priority)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Responses in order; None for those that were sent while others were executed."""
        checked = [self._valid_rows(request) for request in requests]
        short = [isinstance(rows, InvalidInput) or _tokens(rows) <= SHORT_TOKENS for rows in checked]
        if all(short) or not any(short):
            return self._answer(requests, checked)
        # Short ones that came at the same moment as a long one do not wait for it.
        for request, response in zip(
            compress(requests, short),
            self._answer([*compress(requests, short)], [*compress(checked, short)]),
            strict=True,
        ):
            send(request, response)
        long = [not is_short for is_short in short]
        answered = iter(self._answer([*compress(requests, long)], [*compress(checked, long)]))
        return [None if is_short else next(answered) for is_short in short]

    def _answer(self, requests: Sequence[Any], checked: Sequence[Rows | InvalidInput]) -> list[Any]:
        logits = self._run([rows for rows in checked if not isinstance(rows, InvalidInput)], requests)
        return [
            attempt(partial(_output, rows, logits), request)
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
            is_short = sum(map(_tokens, rows)) <= SHORT_TOKENS
            return iter(run_requests(self._engine, rows, self._short if is_short else self._long))
        except Exception:
            log.exception("the engine failed on %d requests", len(requests), extra=named(requests))
            return iter([EngineError("the engine failed; see the server's log")] * len(rows))
        finally:
            seconds = time.monotonic() - began
            if seconds >= SLOW_S:
                log.info("an execution took %.1f s", seconds, extra=named(requests))


def _lower_priority() -> None:
    """Of the calling thread alone, as Linux does it; the runtime's other threads keep theirs."""
    thread = threading.get_native_id()
    if os.getpriority(os.PRIO_PROCESS, thread) < LONG_NICENESS:
        os.setpriority(os.PRIO_PROCESS, thread, LONG_NICENESS)


def _tokens(rows: Rows) -> int:
    """Padding included."""
    return int(rows["input_ids"].size)


def _output(rows: Rows | InvalidInput, logits: Iterator[NDArray[np.float32] | EngineError]) -> list[Any]:
    if isinstance(rows, InvalidInput):
        raise rows
    result = next(logits)
    if isinstance(result, EngineError):
        raise result
    return [tensors.output(tensors.LOGITS, result)]
