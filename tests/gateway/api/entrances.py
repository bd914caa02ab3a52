"""The entrances of the API: how each is asked to classify, and where it says what."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.api.compat.answer_headers import MODEL, TOKENS, TRUNCATED, UNKNOWN
from web.kserve import HEADER_LENGTH, encode_request

Body = Callable[[Sequence[str], bool], tuple[bytes, dict[str, str]]]
"""The body for these texts, and whether they may be truncated; with headers of its own."""
LABELS = ("投", "诉")
HYPOTHESIS = "投"


@dataclass(frozen=True)
class Told:
    """What an answer says beside its scores."""

    model: str
    tokens: int
    truncated: bool
    unknown: bool


@dataclass(frozen=True)
class Entrance:
    """One way in."""

    name: str
    path: str
    body: Body
    pairs_per_text: int
    """That a request of one text costs."""
    told: Callable[[httpx.Response], Told]
    error: Callable[[dict[str, Any]], object]
    """Where this API's clients read what went wrong."""
    max_texts: int = 64


def _json(document: object) -> tuple[bytes, dict[str, str]]:
    return json.dumps(document, ensure_ascii=False).encode(), {}


def _classify(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    return _json({"texts": list(texts), "labels": LABELS} | ({} if truncate else {"truncate": False}))


def _hugging_face(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    parameters = {"candidate_labels": LABELS} | ({} if truncate else {"truncate": False})
    return _json({"inputs": list(texts), "parameters": parameters})


def _predict(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    pairs = [[text, HYPOTHESIS] for text in texts]
    return _json({"inputs": pairs} | ({} if truncate else {"truncate": False}))


def _rerank(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    return _json({"query": HYPOTHESIS, "texts": list(texts)} | ({} if truncate else {"truncate": False}))


def _documents(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    return _json({"query": HYPOTHESIS, "documents": list(texts)} | ({} if truncate else {"truncate": False}))


def _score(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    pairs = {"text_1": list(texts), "text_2": [HYPOTHESIS] * len(texts)}
    return _json(pairs | ({} if truncate else {"truncate": False}))


def _inputs(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    return _json({"input": list(texts), "labels": LABELS} | ({} if truncate else {"truncate": False}))


def _arguments(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    arguments = {"model": "zero_shot", "args": [list(texts), LABELS]}
    return _json(arguments | ({} if truncate else {"truncate": False}))


def _kserve(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    (text,) = texts
    inputs = [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]},
        {"name": "labels", "datatype": "BYTES", "shape": [2], "data": LABELS},
    ]
    return _json({"inputs": inputs} | ({} if truncate else {"parameters": {"truncate": False}}))


def _kserve_binary(texts: Sequence[str], truncate: bool) -> tuple[bytes, dict[str, str]]:
    length, body = encode_request({"text": list(texts), "labels": LABELS})
    if not truncate:
        header = json.dumps(json.loads(body[:length]) | {"parameters": {"truncate": False}}).encode()
        length, body = len(header), header + body[length:]
    return body, {HEADER_LENGTH: str(length)}


def _told_in_the_body(response: httpx.Response) -> Told:
    answer = response.json()
    results = answer.get("results", [answer])
    return Told(
        f"{answer['model']}@{answer['model_version']}",
        answer["usage"]["total_tokens"],
        any(result["truncated"] for result in results),
        any("unknown_share" in result for result in results),
    )


def _told_in_headers(response: httpx.Response) -> Told:
    headers = response.headers
    return Told(headers[MODEL], int(headers[TOKENS]), TRUNCATED in headers, UNKNOWN in headers)


def _told_in_parameters(response: httpx.Response) -> Told:
    length = int(response.headers.get(HEADER_LENGTH, len(response.content)))
    told = json.loads(response.content[:length])["parameters"]
    assert _told_in_headers(response).tokens == told["total_tokens"]
    model = f"{told['engine_name']}@{told['engine_id']}"
    return Told(model, told["total_tokens"], told["truncated"], told["unknown"])


def _detail(document: dict[str, Any]) -> object:
    return document["detail"]


def _error(document: dict[str, Any]) -> object:
    return document["error"]


def _error_message(document: dict[str, Any]) -> object:
    return document["error"]["message"]


def _message(document: dict[str, Any]) -> object:
    return document["message"]


KSERVE = "/v2/models/zero_shot"
# One of `/v2` has the version in its path, which the metadata names.
ENTRANCES = (
    Entrance("`/v1/classify`", "/v1/classify", _classify, 2, _told_in_the_body, _detail),
    Entrance("`/hf/inference`", "/hf/inference", _hugging_face, 2, _told_in_headers, _error),
    Entrance("`/hf/pipeline`", "/hf/pipeline", _hugging_face, 2, _told_in_headers, _error),
    Entrance("`/predict`", "/predict", _predict, 1, _told_in_headers, _error),
    Entrance("`/rerank`", "/rerank", _rerank, 1, _told_in_headers, _error),
    Entrance("`/v1/rerank`", "/v1/rerank", _documents, 1, _told_in_headers, _error_message),
    Entrance("`/v2/rerank`", "/v2/rerank", _documents, 1, _told_in_headers, _message),
    Entrance("`/score`, `/v1/score`", "/score", _score, 1, _told_in_headers, _error_message),
    Entrance("`/classify`", "/classify", _inputs, 2, _told_in_headers, _error_message),
    Entrance("`/v1/moderations`", "/v1/moderations", _inputs, 2, _told_in_headers, _error_message),
    Entrance("`/v1/flexible/infers`", "/v1/flexible/infers", _arguments, 2, _told_in_headers, _error_message),
    Entrance("`/v2` JSON", f"{KSERVE}/infer", _kserve, 2, _told_in_parameters, _error, 1),
    Entrance("`/v2` binary", f"{KSERVE}/versions/1/infer", _kserve_binary, 2, _told_in_parameters, _error, 1),
)
