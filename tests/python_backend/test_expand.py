"""The Triton model `expand`, with a fake of Triton's Python API in place of `triton_python_backend_utils`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ENGINE = Path(__file__).parents[1] / "golden/small"


class FakeTensor:
    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name = name
        self._values = values

    def as_numpy(self) -> np.ndarray:
        return self._values


class FakeError:
    """Keeps a response's message and code."""

    INVALID_ARG, INTERNAL = 3, 1

    def __init__(self, message: str, code: int) -> None:
        self.message, self.code = message, code


class FakeResponse:
    def __init__(self, output_tensors: list[FakeTensor], error: FakeError | None = None) -> None:
        self.outputs = {tensor.name: tensor.as_numpy() for tensor in output_tensors}
        self.error = error


class FakeTritonApi(ModuleType):
    """The part of Triton's Python API that the models call; a request is a dict of arrays."""

    Tensor = FakeTensor
    TritonError = FakeError
    InferenceResponse = FakeResponse

    @staticmethod
    def get_input_tensor_by_name(request: dict[str, np.ndarray], name: str) -> FakeTensor | None:
        return FakeTensor(name, request[name]) if name in request else None


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    name = "triton_python_backend_utils"
    monkeypatch.setitem(sys.modules, name, FakeTritonApi(name))
    for module in ("expand", "requests", "tensors"):
        monkeypatch.delitem(sys.modules, f"python_backend.triton.{module}", raising=False)
    monkeypatch.setenv("WANNENG_ENGINE", str(ENGINE))
    expand = importlib.import_module("python_backend.triton.expand").ExpandModel()
    expand.initialize({})
    return expand


def request(text: str, labels: list[str], **numbers: int) -> dict[str, np.ndarray]:
    inputs = {name: np.array([value], dtype=np.int32) for name, value in numbers.items()}
    inputs["text"] = np.array([text.encode()], dtype=np.object_)
    inputs["labels"] = np.array([label.encode() for label in labels], dtype=np.object_)
    return inputs


def test_one_row_per_label_and_the_identity_of_the_engine(model: Any) -> None:
    (response,) = model.execute([request("手机", ["投诉", "咨询"], max_tokens=20)])
    assert response.error is None
    assert response.outputs["input_ids"].shape == response.outputs["token_type_ids"].shape == (2, 7)
    assert response.outputs["token_limit"].tolist() == [20]
    assert response.outputs["engine_name"].tolist() == [b"golden-small"]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"max_tokens": 7}, "token_limit: 7 tokens, this engine takes 8 to 512"),
        ({"max_tokens": 513}, "token_limit: 513 tokens, this engine takes 8 to 512"),
        ({"pad_to": 8}, "pair_too_long: a pair has 9 tokens, more than the 8 of its bucket"),
    ],
)
def test_a_refusal_that_the_gateway_acts_on_begins_with_its_code(
    model: Any, numbers: dict[str, int], message: str
) -> None:
    (response,) = model.execute([request("一二三四", ["投诉"], **numbers)])
    assert (response.error.message, response.error.code) == (message, FakeError.INVALID_ARG)


def test_an_invalid_request_fails_alone(model: Any) -> None:
    refused, answered = model.execute([request(" ", ["投诉"]), request("手机", ["投诉"])])
    assert (refused.error.message, answered.error) == ("text: empty", None)
