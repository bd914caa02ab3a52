"""Sends requests to Triton itself, past the gateway: the ensemble `zero_shot` over gRPC.

gRPC blocks in native code, where gevent cannot switch, so each call runs in a thread of gevent's pool.
"""

from __future__ import annotations

import numpy as np
import tritonclient.grpc as triton
from gevent.threadpool import ThreadPool

from loadtest.answers import check_answer
from loadtest.workload import Request

THREADS = 64
TIMEOUT_S = 15.0
MODEL = "zero_shot"


class TritonClient:
    """The Triton at `address`, `host:port` of its gRPC service."""

    def __init__(self, address: str) -> None:
        self._client = triton.InferenceServerClient(address)
        self._threads = ThreadPool(THREADS)

    def send(self, request: Request) -> str | None:
        """Wait for the answer; what went wrong, or None."""
        fault: str | None = self._threads.apply(self._infer, (request,))
        return fault

    def _infer(self, request: Request) -> str | None:
        inputs = [_strings("text", [request.text]), _strings("labels", request.labels)]
        try:
            answer = self._client.infer(MODEL, inputs, client_timeout=TIMEOUT_S)
        except triton.InferenceServerException as error:
            return f"Triton: {error.status()}"
        labels = [value.decode() for value in answer.as_numpy("ranked_labels").ravel()]
        return check_answer(
            request.labels, {"labels": labels, "scores": answer.as_numpy("scores").ravel().tolist()}
        )


def _strings(name: str, values: tuple[str, ...] | list[str]) -> triton.InferInput:
    tensor = triton.InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_))
    return tensor
