from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rich.console import Console

from wanneng.classify import Classifier, print_bars, split_labels
from wanneng.client import Client
from wanneng.client.streams import TEXTS_PER_CALL


class Gateway:
    """Answers each text with itself as the only label; refuses a request that holds `bad`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        texts = body.get("texts", [body.get("text")])
        if "bad" in texts:
            field = f"texts[{texts.index('bad')}]"
            return httpx.Response(422, json={"code": "invalid_request", "detail": "text: bad", "field": field})
        results = [{"labels": [text], "scores": [1.0], "truncated": False} for text in texts]
        return httpx.Response(
            200,
            json={"results": results, "model_version": "v"} if "texts" in body else results[0] | {"model": "m"},
        )


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def classifier(gateway: Gateway) -> Iterator[Classifier]:
    with Client("http://gateway", transport=httpx.MockTransport(gateway)) as client:
        yield Classifier(client, {"labels": "a"})


def test_texts_go_in_batches_and_come_back_in_order(classifier: Classifier, gateway: Gateway) -> None:
    texts = [str(i) for i in range(TEXTS_PER_CALL + 3)]
    assert [answer["labels"][0] for answer in classifier.classify_all(texts)] == texts
    assert [len(body["texts"]) for body in gateway.bodies] == [TEXTS_PER_CALL, 3]


def test_a_bad_line_carries_its_error_and_loses_no_other(classifier: Classifier) -> None:
    answers = list(classifier.classify_all(["x", "bad", "y"]))
    assert [answer.get("error") for answer in answers] == [None, "text: bad", None]
    assert [answer["text"] for answer in answers] == ["x", "bad", "y"]


def test_the_answer_is_the_gateways_own(classifier: Classifier, gateway: Gateway) -> None:
    assert classifier.classify("x") == {"labels": ["x"], "scores": [1.0], "truncated": False, "model": "m"}
    assert gateway.bodies == [{"text": "x", "labels": "a"}]


def test_a_line_that_is_asked_again_by_itself_says_as_much_as_any_other(classifier: Classifier) -> None:
    alone, _ = classifier.classify_all(["x", "bad"])
    (among_others,) = classifier.classify_all(["x"])
    assert alone == among_others == {"text": "x", "labels": ["x"], "scores": [1.0], "truncated": False}


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
