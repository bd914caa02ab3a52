"""Asks a Triton server over gRPC as direct clients and the gateway do: its ensembles, or those of its buckets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

from engine.errors import TargetError
from engine.verification.reference import Answer, Case
from engine.verification.served_engine import answer_of

EXPAND = "expand"
ENSEMBLE = "zero_shot"
LOGITS_ENSEMBLE = "zero_shot_logits"
BUCKETS = (32, 64, 128, 256, 512)
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
                f"{url} is neither an engine's folder nor an address of Triton's gRPC port, such as 127.0.0.1:8001"
            )
        self._url = url
        self._client = triton.InferenceServerClient(address[1])
        try:
            self._buckets = self._served_buckets()
        except triton.InferenceServerException as error:
            raise TargetError(f"no Triton answers at {url}: {error.message()}") from None

    def answers(self, cases: Sequence[Case]) -> list[Answer]:
        """In the order of the cases; `TargetError` where Triton refuses one."""
        return [self._answer(case) for case in cases]

    def close(self) -> None:
        self._client.close()

    def _answer(self, case: Case) -> Answer:
        rows = self._infer(EXPAND, case, ("input_ids", "attention_mask"))
        if not self._buckets:
            outputs = self._infer(ENSEMBLE, case, ("ranked_labels", "scores", "logits"), multi_label=True)
            ranked = answer_of(case, rows, outputs["logits"])
            labels = tuple(label.decode("utf-8") for label in outputs["ranked_labels"])
            return Answer(labels, tuple(map(float, outputs["scores"])), ranked.ids, outputs["logits"])
        tokens = int(rows["attention_mask"].sum(axis=1).max())
        bucket = next((bucket for bucket in self._buckets if bucket >= tokens), None)
        if bucket is None:
            raise TargetError(f"Triton at {self._url} has no bucket for {tokens} tokens")
        outputs = self._infer(f"{LOGITS_ENSEMBLE}_s{bucket}", case, ("logits",), pad_to=bucket)
        return answer_of(case, rows, outputs["logits"])

    def _served_buckets(self) -> tuple[int, ...]:
        """The buckets whose ensembles are ready; empty if one ensemble takes rows of any length."""
        if self._client.is_model_ready(ENSEMBLE, client_timeout=TIMEOUT_S):
            return ()
        served = tuple(
            b for b in BUCKETS if self._client.is_model_ready(f"{LOGITS_ENSEMBLE}_s{b}", client_timeout=TIMEOUT_S)
        )
        if not served:
            raise TargetError(
                f"Triton at {self._url} has no ensemble ready: neither {ENSEMBLE} nor one of a length bucket"
            )
        return served

    def _infer(
        self, model: str, case: Case, outputs: Sequence[str], *, multi_label: bool = False, pad_to: int = 0
    ) -> dict[str, NDArray[Any]]:
        values = {
            "text": np.array([case.text.encode("utf-8")], dtype=np.object_),
            "labels": np.array([label.encode("utf-8") for label in case.labels], dtype=np.object_),
            "hypothesis_template": np.array([case.template.encode("utf-8")], dtype=np.object_),
        }
        if multi_label:
            values["multi_label"] = np.array([case.multi_label])
        if pad_to:
            values["pad_to"] = np.array([pad_to], dtype=np.int32)
        inputs = []
        for name, value in values.items():
            tensor = triton.InferInput(name, value.shape, np_to_triton_dtype(value.dtype))
            tensor.set_data_from_numpy(value)
            inputs.append(tensor)
        requested = [triton.InferRequestedOutput(name) for name in outputs]
        try:
            result = self._client.infer(model, inputs, outputs=requested, client_timeout=TIMEOUT_S)
        except triton.InferenceServerException as error:
            raise TargetError(f"{model} at {self._url} fails on the reference: {error.message()}") from None
        return {name: np.asarray(result.as_numpy(name)) for name in outputs}
