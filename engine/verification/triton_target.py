"""Runs rows through a Triton server over gRPC: its model `structbert`, or those of its length buckets."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from engine.errors import TargetError
from engine.verification.reference import TokenRow, pad_rows

MODEL = "structbert"
BUCKETS = (32, 64, 128, 256, 512)
ROWS_PER_REQUEST = 8
TIMEOUT_S = 60.0
ADDRESS = re.compile(r"(?:grpc://)?([^/\s]+:\d+)/?")


class TritonTarget:
    """The engine as a Triton server serves it.

    `url`: address of its gRPC port, such as 127.0.0.1:8001; `TargetError` if no Triton with an engine answers.
    """

    def __init__(self, url: str) -> None:
        address = ADDRESS.fullmatch(url)
        if address is None:
            raise TargetError(
                f"{url} is neither a file nor the address of Triton's gRPC port, such as 127.0.0.1:8001"
            )
        self._url = url
        self._client = triton.InferenceServerClient(address[1])
        try:
            self._buckets = self._served_buckets()
        except triton.InferenceServerException as error:
            raise TargetError(f"no Triton answers at {url}: {error.message()}") from None

    def logits(self, rows: Sequence[TokenRow]) -> NDArray[np.float32]:
        """Logits `[n, 3]`, float32, each row from the shortest bucket that holds it, or from `structbert`."""
        logits = np.empty((len(rows), 3), dtype=np.float32)
        rows_by_bucket: dict[int | None, list[int]] = {}
        for index, row in enumerate(rows):
            rows_by_bucket.setdefault(self._bucket(len(row.ids)), []).append(index)
        for bucket, indices in rows_by_bucket.items():
            for start in range(0, len(indices), ROWS_PER_REQUEST):
                batch = indices[start : start + ROWS_PER_REQUEST]
                logits[batch] = self._infer(bucket, [rows[i] for i in batch])
        return logits

    def close(self) -> None:
        self._client.close()

    def _served_buckets(self) -> tuple[int, ...]:
        """The buckets whose models are ready; empty if the model `structbert` takes rows of any length."""
        if self._client.is_model_ready(MODEL, client_timeout=TIMEOUT_S):
            return ()
        served = tuple(
            b for b in BUCKETS if self._client.is_model_ready(f"{MODEL}_s{b}", client_timeout=TIMEOUT_S)
        )
        if not served:
            raise TargetError(f"Triton at {self._url} has no model ready: neither {MODEL} nor one of its buckets")
        return served

    def _bucket(self, tokens: int) -> int | None:
        if not self._buckets:
            return None
        fitting = [bucket for bucket in self._buckets if bucket >= tokens]
        if not fitting:
            raise TargetError(f"Triton at {self._url} has no bucket for {tokens} tokens")
        return fitting[0]

    def _infer(self, bucket: int | None, rows: Sequence[TokenRow]) -> NDArray[np.float32]:
        model = MODEL if bucket is None else f"{MODEL}_s{bucket}"
        inputs = []
        for name, values in pad_rows(rows, bucket).items():
            tensor = triton.InferInput(name, values.shape, "INT64")
            tensor.set_data_from_numpy(values)
            inputs.append(tensor)
        try:
            result = self._client.infer(model, inputs, client_timeout=TIMEOUT_S)
        except triton.InferenceServerException as error:
            raise TargetError(f"{model} at {self._url} fails on the reference's rows: {error.message()}") from None
        return np.asarray(result.as_numpy("logits"), dtype=np.float32)
