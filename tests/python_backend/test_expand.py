"""The Triton model `expand`, with a fake of Triton's Python API in place of `triton_python_backend_utils`."""

from __future__ import annotations

import importlib
import json
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


class Request(dict[str, np.ndarray]):
    """A request with an id, which may be empty."""

    id = ""

    def request_id(self) -> str:
        return self.id


def request(text: str, labels: list[str], **numbers: int) -> Request:
    inputs = Request({name: np.array([value], dtype=np.int32) for name, value in numbers.items()})
    inputs["text"] = np.array([text.encode()], dtype=np.object_)
    inputs["labels"] = np.array([label.encode() for label in labels], dtype=np.object_)
    return inputs


def test_a_failure_is_logged_with_the_ids_of_the_requests_and_not_told_to_the_caller(
    model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken = request("手机", ["投诉"])
    broken.id, broken["text"] = "one,two", np.array([7], dtype=np.object_)
    good, bad = model.execute([request("手机", ["投诉"]), broken])
    assert good.error is None
    assert bad.error.message == "the model failed on this request; see the server's log"
    (record,) = [each for each in caplog.records if each.exc_info]
    assert vars(record)["fields"] == {"request_ids": "one,two"}


def test_each_call_with_an_id_leaves_a_line_with_the_ids_of_its_requests(
    model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    merged = request("手机", ["投诉", "咨询"])
    merged.id = "one,two"
    model.execute([merged, request("手机", ["投诉"])])
    assert [(record.getMessage(), vars(record)["fields"]) for record in caplog.records] == [
        ("2 pairs of 14 tokens", {"request_ids": "one,two"})
    ]


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


def pairs_request(
    texts: list[str],
    labels: list[str],
    templates: list[str],
    pairs: list[tuple[int, int, int, int]],
    **numbers: int,
) -> Request:
    inputs = request("", labels, **numbers)
    inputs["text"] = np.array([text.encode() for text in texts], dtype=np.object_)
    inputs["hypothesis_template"] = np.array([template.encode() for template in templates], dtype=np.object_)
    inputs["pairs"] = np.array(pairs, dtype=np.int32)
    return inputs


def test_pairs_of_many_texts_templates_and_limits_have_the_rows_that_each_has_alone(model: Any) -> None:
    texts, labels, templates = ["手机", "一二三四" * 5], ["投诉", "咨询"], ["{}", "这是{}"]
    pairs = [(0, 0, 0, 0), (1, 1, 1, 20), (1, 0, 0, 8), (0, 1, 1, 0), (0, 0, 0, 0)]
    (together,) = model.execute([pairs_request(texts, labels, templates, pairs)])
    assert (together.error, together.outputs["refused"].tolist()) == (None, [b""])
    for row, (text, label, template, limit) in enumerate(pairs):
        alone_request = request(texts[text], [labels[label]], max_tokens=limit)
        alone_request["hypothesis_template"] = np.array([templates[template].encode()], dtype=np.object_)
        (alone,) = model.execute([alone_request])
        length = int(alone.outputs["tokens"][0, 0])
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            assert together.outputs[name][row, :length].tolist() == alone.outputs[name][0].tolist()
            assert not together.outputs[name][row, length:].any()
        for name in ("tokens", "unknown"):
            assert together.outputs[name][row].tolist() == alone.outputs[name][0].tolist()
        assert together.outputs["token_limit"][row] == alone.outputs["token_limit"][0]


@pytest.mark.parametrize(
    ("text", "label", "template", "limit", "pad_to", "reason"),
    [
        ("\u200b", "投诉", "{}", 0, 0, "nothing_to_read: text"),
        ("手机", "\u200b", "这是{}", 0, 0, "nothing_to_read: label"),
        ("手机", "投诉", "{}", 7, 0, "token_limit: 7 tokens, this engine takes 8 to 512"),
        (
            "一二三四" * 8,
            "投诉",
            "{}",
            0,
            32,
            "pair_too_long: a pair has 37 tokens, more than the 32 of its bucket",
        ),
        (" ", "投诉", "{}", 0, 0, "text: empty"),
        ("一" * 100_001, "投诉", "{}", 0, 0, "text: 100001 characters, at most 100000"),
        ("手机", "长" * 1_025, "{}", 0, 0, "labels: a label has 1025 characters, at most 1024"),
        ("手机", "投诉", "没有", 0, 0, "hypothesis_template: exactly one {} is needed, where the label goes"),
    ],
)
def test_an_invalid_pair_is_refused_and_its_neighbours_are_answered(
    model: Any, text: str, label: str, template: str, limit: int, pad_to: int, reason: str
) -> None:
    pairs = [(0, 0, 0, 0), (1, 1, 1, limit), (0, 0, 0, 0)]
    numbers = {"pad_to": pad_to} if pad_to else {}
    (response,) = model.execute(
        [pairs_request(["手机", text], ["咨询", label], ["{}", template], pairs, **numbers)]
    )
    assert response.error is None
    assert json.loads(response.outputs["refused"][0]) == {"1": reason}
    first, refused, last = response.outputs["input_ids"]
    assert first.tolist() == last.tolist()
    assert response.outputs["attention_mask"].sum(axis=1).tolist() == [7, 3, 7]
    assert np.count_nonzero(refused) == 3, "special tokens alone"


@pytest.mark.parametrize(
    "pairs",
    [[(1, 0, 0, 0)], [(0, -1, 0, 0)], [(0, 0, 2, 0)], [], [(0, 0, 0, 0)] * 65, [(0, 0, 0)], [0, 0, 0, 0]],
    ids=repr,
)
def test_an_index_that_names_nothing_fails_the_request(model: Any, pairs: Any) -> None:
    (response,) = model.execute([pairs_request(["手机"], ["投诉"], ["{}", "这是{}"], pairs)])
    assert response.error.message.startswith("pairs: ")


def test_a_text_that_no_pair_names_is_not_encoded(model: Any) -> None:
    (response,) = model.execute([pairs_request(["手机", "长" * 100_000], ["投诉"], ["{}"], [(0, 0, 0, 0)])])
    assert response.error.message.startswith("pairs: a text belongs to no pair")


@pytest.mark.parametrize("merged", [False, True])
def test_special_tokens_are_the_models_unless_a_call_says_that_they_are_text(model: Any, merged: bool) -> None:
    text, label = "手[SEP]机", "投[SEP]诉"

    def separators(**inputs: str) -> tuple[int, int]:
        """In the row, and how long the text is."""
        asked = pairs_request([text], [label], ["{}"], [(0, 0, 0, 0)]) if merged else request(text, [label])
        asked |= {name: np.array([value.encode()], dtype=np.object_) for name, value in inputs.items()}
        (response,) = model.execute([asked])
        assert response.error is None
        return response.outputs["input_ids"].tolist()[0].count(3), int(response.outputs["text_tokens"][0])

    as_model, as_text = separators(), separators(special_tokens="text")
    assert as_model == separators(special_tokens="model") == (4, 3)
    assert (as_text[0], as_text[1] > as_model[1]) == (2, True)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("template", "label"), [("[S{}", "EP]"), ("[{}", "SEP]"), ("{}EP]", "[S"), ("{}SEP]", "[")], ids=repr
)
def test_a_template_and_a_label_that_are_text_make_no_special_token(
    model: Any, template: str, label: str, merged: bool
) -> None:
    def separators(special_tokens: str) -> int:
        asked = (
            pairs_request(["手机"], [label], [template], [(0, 0, 0, 0)]) if merged else request("手机", [label])
        )
        for name, value in (("hypothesis_template", template), ("special_tokens", special_tokens)):
            asked[name] = np.array([value.encode()], dtype=np.object_)
        (response,) = model.execute([asked])
        assert response.error is None
        count: int = response.outputs["input_ids"].tolist()[0].count(3)
        return count

    assert (separators("model"), separators("text")) == (3, 2)


def test_other_kinds_of_special_tokens_are_refused(model: Any) -> None:
    asked = request("手机", ["投诉"])
    asked["special_tokens"] = np.array([b"none"], dtype=np.object_)
    (response,) = model.execute([asked])
    assert "special_tokens: expected model or text" in response.error.message
    assert response.error.code == FakeError.INVALID_ARG
