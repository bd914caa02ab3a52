"""Answers of engines, gateways and other servers become predictions; failures become sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from wanneng.errors import CommandError, RequestError
from wanneng.evaluation.engine_target import EngineTarget
from wanneng.evaluation.metrics import Prediction
from wanneng.evaluation.peer_target import MAX_FIRST_REFUSALS, PeerTarget
from wanneng.evaluation.targets import Answers, Question

ROOT = Path(__file__).parents[3]
QUESTION = Question({"a": "很好", "b": "很差"}, "这是{}")
SCORES = {"很好": 0.2, "很差": 0.8}


class Peer:
    """Answers each request's JSON with `answer`, which may be a response; `requests` has what it was sent."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.requests: list[tuple[str, Any, httpx.Headers]] = []
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.requests.append((str(request.url), body, request.headers))
        answer = self._answer(body)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def returned(answer: Any, _: Any) -> Any:
    return answer


def ask(api: str, peer: Peer, texts: list[str], question: Question = QUESTION, key: str | None = None) -> Answers:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    pauses: list[float] = []
    transport = httpx.MockTransport(peer)
    target = PeerTarget(api, "http://peer:1/base", key, transport=transport, sleep=sleep)
    return target.ask(question, texts, lambda: None)


def test_hugging_face_answers_in_either_format() -> None:
    listed = [{"label": label, "score": score} for label, score in SCORES.items()]
    pipeline = {"sequence": "x", "labels": list(SCORES), "scores": list(SCORES.values())}
    for answer in (listed, [listed], pipeline, [pipeline]):
        peer = Peer(partial(returned, answer))
        assert ask("huggingface", peer, ["x"], key="k").predictions == [Prediction("b", 0.8)]
    url, body, headers = peer.requests[0]
    assert (url, headers["Authorization"]) == ("http://peer:1/base", "Bearer k")
    parameters = {"candidate_labels": ["很好", "很差"], "hypothesis_template": "这是{}", "multi_label": False}
    assert body == {"inputs": "x", "parameters": parameters}


def test_logits_of_tei_become_the_pipelines_scores() -> None:
    """Softmax of 1 and 3 is 0.88080; by itself, 3 against a contradiction of −1 is 0.98201."""

    def relations(entailment: float) -> list[dict[str, Any]]:
        named = {"CONTRADICTION": -1.0, "entailment": entailment, "neutral": 9.0}
        return [{"label": name, "score": value} for name, value in named.items()]

    peer = Peer(lambda _: [relations(1.0), relations(3.0)])
    assert ask("tei", peer, ["x"]).predictions == [Prediction("b", 0.88080)]
    each = Question(QUESTION.wordings, multi_label=True)
    assert ask("tei", peer, ["x"], each).predictions == [Prediction("b", 0.98201)]
    assert peer.requests[0][:2] == (
        "http://peer:1/base/predict",
        {"inputs": [["x", "这是很好"], ["x", "这是很差"]], "raw_scores": True, "truncate": True},
    )
    assert peer.requests[1][1]["inputs"][0] == ["x", "很好"]


def test_kserve_answers_in_tensors() -> None:
    outputs = [{"name": "scores", "data": [0.8, 0.2]}, {"name": "ranked_labels", "data": ["很差", "很好"]}]
    peer = Peer(lambda _: {"outputs": outputs})
    assert ask("kserve", peer, ["x"]).predictions == [Prediction("b", 0.8)]
    url, body, _ = peer.requests[0]
    assert url == "http://peer:1/base/v2/models/zero_shot/infer"
    assert body["inputs"][1] == {"name": "labels", "datatype": "BYTES", "shape": [2], "data": ["很好", "很差"]}


def named(body: Any) -> Any:
    """The text says which label is best."""
    best = "很好" if "好" in body["inputs"] else "很差"
    return [{"label": label, "score": 0.9 if label == best else 0.1} for label in SCORES]


def test_answers_come_in_the_order_of_the_texts() -> None:
    texts = [f"{n} {'好' if n % 3 else '差'}" for n in range(50)]
    labels = [prediction.label for prediction in ask("huggingface", Peer(named), texts).predictions]
    assert labels == ["a" if n % 3 else "b" for n in range(50)]


def test_a_busy_peer_is_asked_again_as_it_says() -> None:
    answers = iter(
        [httpx.Response(503, headers={"Retry-After": "2"}), httpx.Response(429, headers={"Retry-After": "1"})]
    )
    peer = Peer(lambda body: next(answers, None) or named(body))
    assert ask("huggingface", peer, ["好"]).predictions == [Prediction("a", 0.9)]
    assert len(peer.requests) == 3


def test_a_text_that_a_peer_refuses_loses_no_other() -> None:
    refusing = Peer(lambda body: httpx.Response(413, text="too long") if "长" in body["inputs"] else named(body))
    good, long = ask("huggingface", refusing, ["好", "长"]).predictions
    assert (good.label, long.label) == ("a", None)
    assert "status 413: too long" in (long.error or "")


def test_a_peer_that_refuses_everything_is_not_asked_on() -> None:
    peer = Peer(lambda _: httpx.Response(422, text="no such field"))
    with pytest.raises(RequestError, match="no such field; so were all of the first 10 texts"):
        ask("huggingface", peer, ["x"] * 1000)
    assert len(peer.requests) < 2 * MAX_FIRST_REFUSALS


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(401, text="no key"), "status 401: no key; is the address right, and is a key needed"),
        (httpx.Response(200, text="<html>"), "does not answer as the API huggingface does"),
        ({"labels": ["很好"], "scores": [1.0]}, "does not answer as"),
        ([{"label": "很好", "score": None}, {"label": "很差", "score": 1}], "does not answer as"),
        ([], "does not answer as"),
        ([1], "does not answer as"),
        (None, "does not answer as"),
    ],
)
def test_an_answer_of_another_api_is_a_sentence(answer: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ask("huggingface", Peer(lambda _: answer), ["x"])


def test_scores_that_are_no_numbers_are_refused() -> None:
    nan = httpx.Response(200, content=b'[{"label": "\xe5\xbe\x88\xe5\xa5\xbd", "score": NaN}]')
    with pytest.raises(RequestError, match="does not answer as"):
        ask("huggingface", Peer(lambda _: nan), ["x"], Question({"a": "很好"}))


def test_an_unknown_api_is_named() -> None:
    with pytest.raises(CommandError, match="'grpc' is no known API; use huggingface, tei, kserve"):
        PeerTarget("grpc", "http://peer")


def test_an_engine_is_asked_in_process_with_the_code_that_serves_it() -> None:
    target = EngineTarget(ROOT / "embedded")
    question = Question({"a": "正面", "b": "负面"}, "这是{}评价")
    count: list[int] = []
    answers = target.ask(question, ["非常好吃", "太难吃了"] * 20, lambda: count.append(1))
    assert [prediction.label for prediction in answers.predictions] == ["a", "b"] * 20
    assert (target.name, len(count)) == ("embedded", 40)
    assert answers.model == json.loads((ROOT / "embedded/engine.json").read_text())["engine_id"]


def test_a_folder_without_an_engine_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not an engine folder"):
        EngineTarget(tmp_path)


def test_label_sets_are_a_gateways() -> None:
    question = Question({}, label_set="tickets")
    for target in (EngineTarget(ROOT / "embedded"), PeerTarget("tei", "http://peer")):
        with pytest.raises(CommandError, match="has no label sets; use --url"):
            target.ask(question, ["x"], lambda: None)
