"""`/v1/classify` and `/v1/tokenize` through the whole gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.classification.tokens import MIN_PAIR_TOKENS
from gateway.errors import DeadlineExceeded, TritonFailed, TritonUnavailable
from stores.errors import ServiceError
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import COMPLAINT, gateway, gateway_app
from tests.problems import assert_problem


async def test_one_text_gets_one_answer() -> None:
    async with gateway() as client:
        response = await client.post("/v1/classify", json=COMPLAINT)
    answer = response.json()
    assert response.status_code == 200
    assert answer.pop("request_id") == response.headers["x-request-id"]
    assert sum(answer.pop("scores")) == pytest.approx(1.0)
    assert answer == {
        "labels": ["投诉", "咨询"],
        "truncated": False,
        "pairs": {"computed": 2, "cached": 0},
        "usage": {"prompt_tokens": 8, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 0}},
        "model": "fake",
        "model_version": "engine-1",
    }


async def test_texts_are_answered_in_order() -> None:
    async with gateway() as client:
        texts = ["咨询", "投诉", "咨询"]
        answer = (await client.post("/v1/classify", json={"texts": texts, "labels": "投诉，咨询"})).json()
    assert [result["labels"][0] for result in answer["results"]] == texts
    assert answer["pairs"] == {"computed": 6, "cached": 0}


async def test_a_cut_text_says_what_was_cut() -> None:
    async with gateway() as client:
        answer = (await client.post("/v1/classify", json=COMPLAINT | {"text": "x" * 30, "max_tokens": 16})).json()
    assert answer["truncated"]
    assert answer["cut"] == {"max_tokens": 16, "text_tokens": 14, "label_tokens": 0}


async def test_a_callers_request_id_is_kept_unless_it_could_forge_a_log() -> None:
    async with gateway() as client:
        for given, kept in (("order-17.a_b", True), ("a b", False), ("x" * 65, False)):
            response = await client.post("/v1/classify", json=COMPLAINT, headers={"X-Request-Id": given})
            assert (response.headers["x-request-id"] == given) is kept


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "not_json", None),
        (b"{", 400, "not_json", None),
        (b"\xff\xfe", 400, "not_json", None),
        (b'{"text": "\\ud800", "labels": "a"}', 400, "not_json", None),
        (b"[" * 100_000, 422, "invalid_request", None),
        (b"[]", 422, "invalid_request", None),
        (b'{"text": 5, "labels": "a"}', 422, "invalid_request", "text"),
        (b'{"text": "a", "labels": [1]}', 422, "invalid_request", "labels[0]"),
        (b'{"text": "a", "labels": "a", "max_tokens": 1e99}', 422, "invalid_request", "max_tokens"),
        (b'{"text": "a", "labels": "a", "lables": "b"}', 422, "invalid_request", "lables"),
        (b'{"text": "a"}', 422, "invalid_request", "labels"),
        (b'{"text": " ", "labels": "a"}', 422, "invalid_request", "text"),
        (b'{"text": "a", "labels": "a,a"}', 422, "invalid_request", "labels[1]"),
        (
            b'{"text": "a", "labels": ["a"], "hypothesis_template": "{0}"}',
            422,
            "invalid_request",
            "hypothesis_template",
        ),
    ],
)
async def test_bad_bodies_are_refused_with_the_reason(
    body: bytes, status: int, code: str, field: str | None
) -> None:
    async with gateway() as client:
        problem = assert_problem(await client.post("/v1/classify", content=body), status, code)
        assert problem.get("field") == field
        assert (await client.post("/v1/classify", json=COMPLAINT)).status_code == 200


async def test_an_unknown_field_is_named() -> None:
    async with gateway() as client:
        problem = assert_problem(
            await client.post("/v1/classify", json=COMPLAINT | {"lables": []}), 422, "invalid_request"
        )
    assert "lables" in problem["detail"]


async def test_a_body_over_its_bound_is_refused_declared_or_not() -> None:
    async def undeclared() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with gateway(max_body_bytes=1_000) as client:
        for content in (b"x" * 1_001, undeclared()):
            assert_problem(await client.post("/v1/classify", content=content), 413, "body_too_large")


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    async with gateway(body_timeout_s=0.05) as client:
        assert_problem(await client.post("/v1/classify", content=slow()), 408, "body_too_slow")


LOCAL = [(b"host", b"localhost")]


async def test_a_client_that_leaves_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[bytes] = []
    app = gateway_app(lines=lines)
    scope = {"type": "http", "method": "POST", "path": "/v1/classify", "headers": LOCAL, "query_string": b""}
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        """Nobody receives it; a server drops it."""

    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    line = json.loads(lines[0])
    assert (line["status"], line["error_code"]) == (499, "client_disconnected")
    assert "Traceback" not in caplog.text


async def test_the_request_of_a_client_that_leaves_ends() -> None:
    """What Triton has begun it cannot take back."""
    lines: list[bytes] = []
    backend = FakeBackend(delay_s=60)
    app = gateway_app(backend, lines=lines)
    scope = {"type": "http", "method": "POST", "path": "/v1/classify", "headers": LOCAL, "query_string": b""}
    body = {"type": "http.request", "body": json.dumps(COMPLAINT).encode(), "more_body": False}
    gone = asyncio.Event()
    messages = iter([body])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        """Nobody receives it."""

    async with asyncio.timeout(5):
        asking = asyncio.create_task(app(scope, receive, send))
        while backend.under_way == 0:
            await asyncio.sleep(0.01)
        gone.set()
        await asking
        while not lines:
            await asyncio.sleep(0.01)
    assert json.loads(lines[0])["error_code"] == "client_disconnected"


async def test_a_client_may_wait_for_less_time_than_the_gateway_would() -> None:
    async with gateway(FakeBackend(delay_s=60)) as client:
        refused = await client.post("/v1/classify", json=COMPLAINT, headers={"X-Request-Timeout": "0.05"})
    assert_problem(refused, 504, "deadline_exceeded")


async def test_a_client_may_not_wait_for_longer_than_the_gateway_would() -> None:
    async with gateway(FakeBackend(delay_s=60), deadline_s=0.05) as client:
        refused = await client.post("/v1/classify", json=COMPLAINT, headers={"X-Request-Timeout": "3600"})
    assert_problem(refused, 504, "deadline_exceeded")


@pytest.mark.parametrize("given", ["soon", "-1", "0", "1e-9", "nan", "inf"])
async def test_a_timeout_that_is_no_time_is_refused(given: str) -> None:
    async with gateway() as client:
        refused = await client.post("/v1/classify", json=COMPLAINT, headers={"X-Request-Timeout": given})
    assert assert_problem(refused, 422, "invalid_request")["field"] == "X-Request-Timeout"


@pytest.mark.parametrize(
    ("failure", "status"),
    [(TritonUnavailable("gone"), 503), (TritonFailed("broken"), 502), (DeadlineExceeded("slow"), 504)],
)
async def test_tritons_failures_have_their_statuses(failure: ServiceError, status: int) -> None:
    async with gateway(FakeBackend(logits_failure=failure)) as client:
        response = await client.post("/v1/classify", json=COMPLAINT)
    assert_problem(response, status, failure.code)
    assert ("retry-after" in response.headers) is (status == 503)


async def test_a_defect_answers_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    backend = FakeBackend(logits_failure=ZeroDivisionError("secret"))  # type: ignore[arg-type]
    async with gateway(backend) as client:
        response = await client.post("/v1/classify", json=COMPLAINT)
    assert "secret" not in response.text
    assert_problem(response, 500, "internal_error")


async def test_too_much_in_flight_is_refused_with_retry_after() -> None:
    async with gateway(FakeBackend(delay_s=0.2), max_tokens_in_flight=MIN_PAIR_TOKENS * 3) as client:
        responses = await asyncio.gather(*(client.post("/v1/classify", json=COMPLAINT) for _ in range(3)))
    assert sorted(response.status_code for response in responses) == [200, 503, 503]
    refused = next(response for response in responses if response.status_code == 503)
    assert_problem(refused, 503, "overloaded")
    assert refused.headers["retry-after"] == "1"


async def test_unknown_paths_and_methods_are_problems_too() -> None:
    async with gateway() as client:
        assert_problem(await client.get("/v1/clasify"), 404, "http_error")
        response = await client.get("/v1/classify")
        assert_problem(response, 405, "http_error")
        assert "POST" in response.headers["allow"]


async def test_a_request_leaves_one_log_line_without_its_text() -> None:
    lines: list[bytes] = []
    async with gateway(lines=lines) as client:
        await client.post("/v1/classify", json=COMPLAINT, headers={"X-Request-Id": "r-1"})
        await client.post("/v1/classify", json=COMPLAINT | {"labels": "投诉,投诉"})
    written = b"".join(lines).decode()
    first, second = map(json.loads, written.splitlines())
    assert (first["request_id"], first["status"], first["pairs_computed"]) == ("r-1", 200, 2)
    assert (first["texts"], first["labels"], first["engine_id"]) == (1, 2, "engine-1")
    assert (second["status"], second["error_code"]) == (422, "invalid_request")
    assert "投诉" not in written


async def test_tokens_are_counted_without_classifying() -> None:
    backend = FakeBackend()
    async with gateway(backend, max_pairs_per_call=2) as client:
        body = {"text": "x" * 10, "labels": "a,bb,c?", "max_tokens": 14}
        counted = (await client.post("/v1/tokenize", json=body)).json()
        assert counted == {
            "max_tokens": 14,
            "text_tokens": 10,
            "unknown_share": 0.0,
            "labels": [
                {"label": "a", "tokens": 14, "text_cut": 0, "label_cut": 0, "unknown_share": 0.0},
                {"label": "bb", "tokens": 14, "text_cut": 1, "label_cut": 0, "unknown_share": 0.0},
                {"label": "c?", "tokens": 14, "text_cut": 1, "label_cut": 0, "unknown_share": 0.5},
            ],
            "truncated": True,
        }
        alone = (await client.post("/v1/tokenize", json={"text": "x" * 10})).json()
        assert alone == {
            "max_tokens": 512,
            "text_tokens": 10,
            "unknown_share": 0.0,
            "labels": [],
            "truncated": False,
        }
        assert_problem(await client.post("/v1/tokenize", json={"text": ""}), 422, "invalid_request")
        assert_problem(
            await client.post("/v1/tokenize", json={"text": "x", "labels": "a,a"}), 422, "invalid_request"
        )
    assert not backend.calls


async def test_each_labels_own_probability_is_told_where_asked_for() -> None:
    async with gateway() as client:
        plain = (await client.post("/v1/classify", json=COMPLAINT)).json()
        told = (await client.post("/v1/classify", json=COMPLAINT | {"entailment": True})).json()
        several = {"texts": ["我要投诉"], "labels": ["投诉", "咨询"], "entailment": True}
        results = (await client.post("/v1/classify", json=several)).json()["results"]
    assert "entailment" not in plain
    # Logits of (2, 0, 0) for 投诉 and (0, 0, 0) for 咨询.
    assert told["entailment"] == pytest.approx([0.787, 1 / 3], abs=1e-3)
    assert results[0]["entailment"] == told["entailment"]
