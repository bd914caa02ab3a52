"""Asks Triton itself over gRPC: the ensemble `zero_shot`. Knows no schedule.

gRPC waits in threads of its own, which would stop every greenlet; so each question is asked in one of gevent's.
"""

from __future__ import annotations

import numpy as np
import tritonclient.grpc as triton
from gevent.threadpool import ThreadPool

from loadtest.answers import fault_of
from loadtest.workload import Ask

THREADS = 64
TIMEOUT_S = 15.0
MODEL = "zero_shot"


class Direct:
    """The Triton at `address`, `host:port` of its gRPC."""

    def __init__(self, address: str) -> None:
        self._client = triton.InferenceServerClient(address)
        self._threads = ThreadPool(THREADS)

    def ask(self, ask: Ask) -> str | None:
        """What went wrong, or None."""
        fault: str | None = self._threads.apply(self._ask, (ask,))
        return fault

    def _ask(self, ask: Ask) -> str | None:
        inputs = [_strings("text", [ask.text]), _strings("labels", ask.labels)]
        try:
            answer = self._client.infer(MODEL, inputs, client_timeout=TIMEOUT_S)
        except triton.InferenceServerException as error:
            return f"Triton: {error.status()}"
        labels = [value.decode() for value in answer.as_numpy("ranked_labels").ravel()]
        return fault_of(ask.labels, {"labels": labels, "scores": answer.as_numpy("scores").ravel().tolist()})


def _strings(name: str, values: tuple[str, ...] | list[str]) -> triton.InferInput:
    tensor = triton.InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_))
    return tensor
