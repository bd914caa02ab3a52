"""Reranking in the shapes of Text Embeddings Inference, Jina, vLLM, Xinference and Cohere."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.fakes.backend import INVISIBLE
from tests.fakes.gateway import gateway
from tests.problems import assert_problem

DOCUMENTS = ["你好", "投", "我要投诉"]
BODY: dict[str, Any] = {"query": "投诉", "documents": DOCUMENTS}
ENTAILMENT = [math.exp(hits) / (math.exp(hits) + 2) for hits in (0, 1, 2)]
"""Of the fake's logits: as many characters of the query as the document has."""


async def test_rerank_sorts_texts_by_what_they_entail() -> None:
    body = {"query": "投诉", "texts": ["你好", "投", "我要投诉"], "return_text": True}
    async with gateway() as client:
        ranked = (await client.post("/rerank", json=body)).json()
        assert [(one["index"], one["text"]) for one in ranked] == [(2, "我要投诉"), (1, "投"), (0, "你好")]
        assert ranked[0]["score"] == pytest.approx(math.exp(2) / (math.exp(2) + 2))
        plain = (await client.post("/rerank", json=body | {"return_text": False, "raw_scores": True})).json()
        assert plain[0] == {"index": 2, "score": 2.0}


async def test_options_of_rerank_hold_for_texts_as_for_documents() -> None:
    body = {"query": "投诉", "texts": DOCUMENTS}
    async with gateway() as client:
        best = (await client.post("/rerank", json=body | {"top_n": 1, "return_text": True})).json()
        assert [(one["index"], one["text"]) for one in best] == [(2, "我要投诉")]
        bare = (await client.post("/rerank", json=body | {"top_n": 2})).json()
        assert [one["index"] for one in bare] == [2, 1]
        everything = (await client.post("/rerank", json=body | {"top_n": 0})).json()
        assert len(everything) == len(DOCUMENTS)
        of_documents = {"query": "投诉", "documents": DOCUMENTS}
        for option in ({"use_activation": False}, {"activation": False}, {"raw_scores": True}):
            raw = (await client.post("/rerank", json=body | option)).json()
            assert [one["score"] for one in raw] == [2, 1, 0]
            raw = (await client.post("/rerank", json=of_documents | option)).json()["results"]
            assert [one["relevance_score"] for one in raw] == [2, 1, 0]
        both = await client.post("/rerank", json=body | of_documents)
        assert assert_problem(both, 422, "invalid_request")["field"] == "texts"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_chunks_per_doc", 10),
        ("rank_fields", ["title"]),
        ("truncate_prompt_tokens", 100),
        ("max_tokens_per_doc", 511),
        ("instruction", "be strict"),
        ("chat_template", "x"),
    ],
)
async def test_what_would_change_the_ranks_of_texts_is_refused_by_name(name: str, value: object) -> None:
    async with gateway() as client:
        answer = await client.post("/rerank", json={"query": "投诉", "texts": DOCUMENTS, name: value})
    assert assert_problem(answer, 422, "invalid_request")["field"] == name


@pytest.mark.parametrize(("path", "version"), [("/rerank", "1"), ("/v1/rerank", "1"), ("/v2/rerank", "2")])
async def test_documents_are_ranked_as_jina_and_cohere_have_it(path: str, version: str) -> None:
    async with gateway() as client:
        answer = (await client.post(path, json=BODY | {"model": "any-name", "top_n": 2})).json()
        everything = (await client.post(path, json=BODY | {"top_n": 0})).json()
    assert [each["index"] for each in answer["results"]] == [2, 1]
    scores = {each["index"]: each["relevance_score"] for each in everything["results"]}
    assert scores == pytest.approx(dict(enumerate(ENTAILMENT)))
    assert answer["model"] == "fake"
    # The fake counts the characters of the text alone.
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == 7
    assert everything["usage"]["prompt_tokens_details"] == {"cached_tokens": 7}
    assert answer["meta"] == {
        "api_version": {"version": version},
        "billed_units": {"input_tokens": 7, "search_units": 1},
        "tokens": {"input_tokens": 7, "output_tokens": 0},
    }


async def test_documents_come_back_unless_they_are_not_wanted() -> None:
    documents = ["你好", {"text": "我要投诉", "id": 7}]
    body = BODY | {"documents": documents}
    async with gateway() as client:
        returned = (await client.post("/v1/rerank", json=body)).json()["results"]
        assert [each["document"] for each in returned] == [documents[1], {"text": "你好"}]
        for unwanted in (False, None):
            bare = (await client.post("/v1/rerank", json=body | {"return_documents": unwanted})).json()
            assert all("document" not in each for each in bare["results"])
        assert "document" not in (await client.post("/v2/rerank", json=BODY)).text.replace("documents", "")


@pytest.mark.parametrize(
    ("path", "option", "field"),
    [
        ("/v2/rerank", {"max_tokens_per_doc": 511}, "max_tokens_per_doc"),
        ("/v2/rerank", {"relevant_spans": {}}, "relevant_spans"),
        ("/v1/rerank", {"max_chunks_per_doc": 10}, "max_chunks_per_doc"),
        ("/v1/rerank", {"rank_fields": ["title"]}, "rank_fields"),
        ("/v1/rerank", {"truncate_prompt_tokens": 100}, "truncate_prompt_tokens"),
        ("/v1/rerank", {"max_tokens_per_query": 0}, "max_tokens_per_query"),
        ("/v1/rerank", {"instruction": "be strict"}, "instruction"),
        ("/rerank", {"chat_template": "x"}, "chat_template"),
        ("/v1/rerank", {"documents": ["a", {"image": "x"}]}, "documents[1].image"),
        ("/v1/rerank", {"documents": [{"text": "a", "image": "x"}]}, "documents[0].image"),
        ("/v1/rerank", {"documents": [{"title": "a"}]}, "documents[0]"),
        ("/v1/rerank", {"query": {"image": "x"}}, "query.image"),
        ("/v1/rerank", {"documents": ["a", " "]}, "documents[1]"),
        ("/v1/rerank", {"query": " "}, "query"),
        ("/v2/rerank", {"query": "长" * 1_025}, "query"),
        ("/v1/rerank", {"documents": []}, "documents"),
    ],
)
async def test_what_would_change_the_answer_is_refused_by_name(
    path: str, option: dict[str, Any], field: str
) -> None:
    async with gateway() as client:
        refused = assert_problem(await client.post(path, json=BODY | option), 422, "invalid_request")
    assert refused["field"] == field


@pytest.mark.parametrize(
    "option", [{"truncation_side": "left"}, {"top_n": -1}, {"documents": "a"}, {"truncation_direction": "Left"}]
)
async def test_what_is_of_no_known_value_is_refused(option: dict[str, Any]) -> None:
    async with gateway() as client:
        refused = assert_problem(await client.post("/rerank", json=BODY | option), 422, "invalid_request")
    assert next(iter(option)) in refused["detail"]


async def test_what_asks_for_what_is_done_anyway_is_taken() -> None:
    neutral: dict[str, Any] = {
        "max_tokens_per_doc": 4_096,
        "truncate_prompt_tokens": -1,
        "truncation_side": "right",
        "max_chunks_per_doc": 1,
        "rank_fields": ["text"],
        "use_activation": True,
        "priority": 3,
        "user": "u-1",
        "return_len": None,
        "kwargs": "{}",
    }
    async with gateway() as client:
        plain = (await client.post("/v1/rerank", json=BODY)).json()["results"]
        assert (await client.post("/v1/rerank", json=BODY | neutral)).json()["results"] == plain
        second = await client.post("/v2/rerank", json=BODY | {"max_tokens_per_doc": 512, "priority": 0})
        assert second.status_code == 200, second.text


async def test_without_activation_scores_are_logits() -> None:
    async with gateway() as client:
        for name in ("use_activation", "activation"):
            raw = (await client.post("/v1/rerank", json=BODY | {name: False})).json()["results"]
            assert [each["relevance_score"] for each in raw] == [2, 1, 0]


async def test_truncation_is_told_or_refused() -> None:
    body = BODY | {"documents": ["短", "长" * 600]}
    async with gateway() as client:
        for path in ("/v1/rerank", "/v2/rerank"):
            answer = (await client.post(path, json=body)).json()
            assert [each["index"] for each in answer["results"] if each.get("truncated")] == [1]
            assert answer["meta"]["warnings"] == ["documents[1] and the query have more tokens than the limit"]
        refused = await client.post("/v1/rerank", json=body | {"truncate": False})
        assert assert_problem(refused, 422, "invalid_request")["field"] == "documents[1]"


async def test_a_query_without_a_token_is_refused_by_its_name() -> None:
    async with gateway() as client:
        refused = await client.post("/v1/rerank", json=BODY | {"query": INVISIBLE})
    assert assert_problem(refused, 422, "nothing_to_read")["field"] == "query"


async def test_a_body_has_texts_or_documents() -> None:
    async with gateway() as client:
        assert_problem(await client.post("/rerank", json={"query": "a"}), 422, "invalid_request")


async def test_a_refusal_of_rerank_names_its_own_field() -> None:
    async with gateway() as client:
        answer = await client.post("/rerank", json={"query": "投诉", "texts": ["好", " "]})
    assert (answer.status_code, answer.json()["field"]) == (422, "texts[1]")
