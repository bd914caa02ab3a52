from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from rich.console import Console

from wanneng.classify import print_bars
from wanneng.options import split_labels


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
