"""Streams that meet refusals: whose they are, and what is asked for again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.wanneng.client.fake_gateway import body, collected, problem
from wanneng import AsyncClient, Client, GatewayRefused, RequestError

LABELS = ["投诉", "咨询"]


class Strict:
    """Takes `most` texts a call, and refuses those that are `bad`, by their place; `charged` are the others."""

    def __init__(self, most: int = 64, code: str = "quota_exceeded", status: int = 429) -> None:
        self.most, self.code, self.status = most, code, status
        self.charged: list[str] = []
        self.calls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        texts = body(request)["texts"]
        for place, text in enumerate(texts):
            if text.startswith("bad"):
                field = f"texts[{place}]"
                refusal = {"code": "invalid_request", "detail": f"{field}: it is bad", "field": field}
                return httpx.Response(422, json=refusal)
        if len(texts) > self.most:
            return problem(self.status, self.code)
        self.charged += texts
        results = [{"labels": [text], "scores": [1.0], "truncated": False} for text in texts]
        return httpx.Response(200, json={"results": results, "model_version": "v"})


@pytest.fixture(params=[Client, AsyncClient])
def make(request: pytest.FixtureRequest) -> Any:
    def client(server: Strict) -> Client | AsyncClient:
        made: Client | AsyncClient = request.param(
            "http://gateway", attempts=1, transport=httpx.MockTransport(server)
        )
        return made

    return client


async def test_a_refused_text_has_its_error_and_every_other_is_asked_for_once(make: Any) -> None:
    server = Strict()
    texts = [f"bad {n}" if n in (0, 7, 15, 16) else f"good {n}" for n in range(40)]
    found = await collected(make(server).stream(texts, LABELS))
    assert [one.text for one in found] == texts
    assert {one.text for one in found if one.error is not None} == {texts[n] for n in (0, 7, 15, 16)}
    assert str(found[7].error) == "it is bad"
    with pytest.raises(GatewayRefused, match="it is bad"):
        _ = found[7].best
    assert sorted(server.charged) == sorted(text for text in texts if text.startswith("good"))
    assert server.calls == 3 + 4, "one more for each refused text"


async def test_a_text_that_is_no_unicode_is_refused_before_it_is_sent(make: Any) -> None:
    server = Strict()
    found = await collected(make(server).stream(["a", "\ud83d", "b\udcff", "c"], LABELS))
    assert [one.error is None for one in found] == [True, False, False, True]
    assert "surrogates" in str(found[1].error)
    assert (server.charged, server.calls) == (["a", "c"], 1)
    assert [one.error is None for one in await collected(make(server).stream(["\ud83d"], LABELS))] == [False]


@pytest.mark.parametrize(
    ("code", "status"),
    [("quota_exceeded", 429), ("body_too_large", 413), ("deadline_exceeded", 504), ("triton_failed", 502)],
)
async def test_what_is_too_much_at_once_is_asked_for_in_parts(make: Any, code: str, status: int) -> None:
    server = Strict(3, code, status)
    texts = [f"{n}" for n in range(20)]
    assert [one.labels for one in await collected(make(server).stream(texts, LABELS))] == [(t,) for t in texts]
    assert sorted(server.charged, key=int) == texts


async def test_a_quota_below_one_text_is_nobodys_text(make: Any) -> None:
    with pytest.raises(GatewayRefused, match="it is quota_exceeded"):
        await collected(make(Strict(0)).stream(["a", "b"], LABELS))
    found = await collected(make(Strict(0, "body_too_large", 413)).stream(["a", "b"], LABELS))
    assert [str(one.error) for one in found] == ["it is body_too_large"] * 2


@pytest.mark.parametrize(("code", "status"), [("unauthorized", 401), ("not_found", 404), ("overloaded", 503)])
async def test_what_no_text_is_to_blame_for_is_raised_at_once(make: Any, code: str, status: int) -> None:
    server = Strict(0, code, status)
    with pytest.raises(RequestError):
        await collected(make(server).stream([f"{n}" for n in range(16)], LABELS))
    assert server.calls == 1
