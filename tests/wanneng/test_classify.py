from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rich.console import Console

from wanneng.calls import Calls
from wanneng.classify import BATCH_TEXTS, Classifier, print_bars, split_labels
from wanneng.errors import RequestError


class Gateway:
    """Answers each text with itself as the only label; refuses a request that holds `bad`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        texts = body.get("texts", [body.get("text")])
        if "bad" in texts:
            return httpx.Response(422, json={"detail": "text: bad"})
        results = [{"labels": [text], "scores": [1.0], "truncated": False} for text in texts]
        return httpx.Response(200, json={"results": results} if "texts" in body else results[0])


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def classifier(gateway: Gateway) -> Iterator[Classifier]:
    calls = Calls("http://gateway", transport=httpx.MockTransport(gateway))
    yield Classifier(calls, {"labels": "a"})
    calls.close()


def test_texts_go_in_batches_and_come_back_in_order(classifier: Classifier, gateway: Gateway) -> None:
    texts = [str(i) for i in range(BATCH_TEXTS + 3)]
    assert [answer["labels"][0] for answer in classifier.classify_all(texts)] == texts
    assert [len(body["texts"]) for body in gateway.bodies] == [BATCH_TEXTS, 3]


def test_a_bad_line_carries_its_error_and_loses_no_other(classifier: Classifier) -> None:
    answers = list(classifier.classify_all(["x", "bad", "y"]))
    assert [answer.get("error") for answer in answers] == [None, "text: bad", None]
    assert [answer["text"] for answer in answers] == ["x", "bad", "y"]


def test_an_answer_without_json_is_an_error() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"<html>"))
    calls = Calls("http://gateway", transport=transport)
    with pytest.raises(RequestError, match="without JSON"):
        Classifier(calls, {}).classify("x")
    calls.close()


def test_bars_are_as_long_as_scores_are_high() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_bars(console, {"labels": ["投诉", "[red]"], "scores": [0.75, 0.25], "truncated": True})
    assert isinstance(console.file, io.StringIO)
    first, second, notice = console.file.getvalue().splitlines()
    assert (first.count("█"), second.count("█")) == (24, 8)
    assert "[red]" in second
    assert "cut" in notice


def test_labels_with_commas_or_repeated() -> None:
    assert split_labels(["a,b"]) == "a,b"
    assert split_labels(["a", "b"]) == ["a", "b"]
