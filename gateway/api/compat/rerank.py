"""Reranking: texts by their probability of entailing a query, which is the hypothesis.

`/v1/rerank` is Jina's (https://jina.ai/reranker), vLLM's, Xinference's and Cohere's, `/v2/rerank` Cohere's second
version (https://docs.cohere.com/reference/rerank). `/rerank` is Text Embeddings Inference's, and vLLM's too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.classify import TEXT
from gateway.api.compat.answer_headers import answer_headers
from gateway.api.compat.options import OF_VLLM, Document, TruncationDirection, VllmOptions, check_options, text_of
from gateway.classification.pairs import Source
from gateway.classification.schema import Usage
from gateway.classification.scoring import entailment
from gateway.classification.work import PairOutcome
from stores.errors import InvalidRequest
from stores.tenants import CLASSIFY
from web.error_shapes import COHERE, RERANK, TEI, ErrorShape
from web.operations import Call, Handler, Operation
from web.responses import json_response

OF_RERANK = (*OF_VLLM, "max_chunks_per_doc", "rank_fields")
TopN = Annotated[int, Meta(ge=0)] | None
"""The number of results; 0 or null means all."""


class RerankOptions(VllmOptions, kw_only=True):
    """The options that `/v1/rerank` and `/rerank` share: those of Jina, vLLM, Xinference and Cohere."""

    query: Document
    model: str | None = None
    """Any name is accepted; there is one model."""
    top_n: TopN = None
    return_documents: bool | None = True
    """null: the documents are left out, as by Xinference."""
    max_chunks_per_doc: int | None = None
    rank_fields: list[str] | None = None


class RerankBody(RerankOptions, kw_only=True):
    """The body of `/v1/rerank`."""

    documents: list[Document]


class TeiRerankBody(RerankOptions, kw_only=True):
    """The body of `/rerank`: `texts` as Text Embeddings Inference has them, or `documents` as in `/v1/rerank`."""

    documents: list[Document] | None = None
    texts: list[str] | None = None
    raw_scores: bool | None = False
    return_text: bool | None = False
    truncation_direction: TruncationDirection = "right"

    @property
    def raw(self) -> bool:
        return bool(self.raw_scores) or super().raw


class CohereRerankBody(Struct):
    """The body of `/v2/rerank`."""

    query: str
    documents: list[str]
    model: str | None = None
    top_n: TopN = None
    max_tokens_per_doc: int | None = None
    relevant_spans: Any = None
    truncate: bool | None = True
    """`false`: refuse documents beyond the token limit; an extension of Cohere's API."""


class RankedText(Struct, frozen=True):
    """A text's position in the request, and its score."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class RankedDocument(Struct, frozen=True):
    index: int
    relevance_score: float
    document: dict[str, Any] | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET
    """`true`: the token limit cut the document or the query; otherwise absent."""


class ApiVersion(Struct, frozen=True):
    version: str


class BilledUnits(Struct, frozen=True):
    input_tokens: int
    search_units: int = 1


class Tokens(Struct, frozen=True):
    input_tokens: int
    output_tokens: int = 0


class RerankMeta(Struct, frozen=True):
    """Cohere's place for usage and warnings."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    warnings: list[str] | UnsetType = UNSET


class RerankAnswer(Struct, frozen=True):
    id: str
    model: str
    results: list[RankedDocument]
    usage: Usage
    meta: RerankMeta


class RerankEndpoints:
    def __init__(self, classifications: Classifications) -> None:
        self._classifications = classifications

    def operations(self) -> Sequence[Operation]:
        texts = [TEXT, "你们几点开门"]
        return [
            _operation(
                "/rerank",
                self.tei,
                "Texts by how much they entail a query, as Text Embeddings Inference",
                TeiRerankBody,
                (list[RankedText], RerankAnswer),
                {"query": "投诉", "texts": texts},
                TEI,
                "rerank",
            ),
            _operation(
                "/v1/rerank",
                self.rerank,
                "The same, as Jina, vLLM, Xinference and Cohere v1",
                RerankBody,
                (RerankAnswer,),
                {"query": "投诉", "documents": texts, "top_n": 1},
                RERANK,
                "rerankDocuments",
            ),
            _operation(
                "/v2/rerank",
                self.cohere,
                "The same, as Cohere v2",
                CohereRerankBody,
                (RerankAnswer,),
                {"model": "rerank", "query": "投诉", "documents": texts, "top_n": 1},
                COHERE,
                "cohereRerank",
            ),
        ]

    async def tei(self, call: Call) -> Response:
        body: TeiRerankBody = call.body
        if (body.texts is None) == (body.documents is None):
            raise InvalidRequest("give either texts or documents", field="texts")
        if body.texts is None:
            return await self.rerank(call)
        check_options(body, *OF_RERANK)
        outcome = await self._outcome(call, body.query, body.texts, "texts", truncate=body.truncate)
        ranked = _ranked(outcome, raw=body.raw, top_n=body.top_n)
        texts = body.texts if body.return_text else [UNSET] * len(body.texts)
        answer = [RankedText(index, score, texts[index]) for index, score in ranked]
        return json_response(answer, headers=answer_headers(outcome))

    async def rerank(self, call: Call) -> Response:
        body: RerankBody | TeiRerankBody = call.body
        assert isinstance(body.documents, list)
        check_options(body, *OF_RERANK)
        outcome = await self._outcome(call, body.query, body.documents, "documents", truncate=body.truncate)
        ranked = _ranked(outcome, raw=body.raw, top_n=body.top_n)
        documents = body.documents if body.return_documents else None
        return json_response(_answer(call, outcome, ranked, "1", documents), headers=answer_headers(outcome))

    async def cohere(self, call: Call) -> Response:
        body: CohereRerankBody = call.body
        check_options(body, "max_tokens_per_doc", "relevant_spans")
        outcome = await self._outcome(call, body.query, body.documents, "documents", truncate=body.truncate)
        ranked = _ranked(outcome, raw=False, top_n=body.top_n)
        return json_response(_answer(call, outcome, ranked, "2"), headers=answer_headers(outcome))

    async def _outcome(
        self, call: Call, query: Document, documents: Sequence[Document], name: str, *, truncate: bool | None
    ) -> PairOutcome:
        hypothesis = text_of(query, "query")
        pairs = [(text_of(document, f"{name}[{n}]"), hypothesis) for n, document in enumerate(documents)]
        source = Source(name, hypothesis="query")
        return await self._classifications.pair_logits(call, pairs, source, truncate=truncate)


def _operation(
    path: str,
    handler: Handler,
    summary: str,
    body: type[Struct],
    answers: Sequence[Any],
    example: dict[str, Any],
    shape: ErrorShape,
    name: str,
) -> Operation:
    return Operation(
        "POST",
        path,
        handler,
        summary,
        CLASSIFY,
        body,
        answers=answers,
        example=example,
        errors=ERRORS,
        error_shape=shape,
        id=name,
    )


def _ranked(outcome: PairOutcome, *, raw: bool, top_n: int | None) -> list[tuple[int, float]]:
    """Positions and scores, best first."""
    scores = [result.logits[0] if raw else entailment(result.logits) for result in outcome.results]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    return [(index, scores[index]) for index in order[: top_n or None]]


def _answer(
    call: Call,
    outcome: PairOutcome,
    ranked: Sequence[tuple[int, float]],
    version: str,
    documents: Sequence[Document] | None = None,
) -> RerankAnswer:
    cut = {index for index, result in enumerate(outcome.results) if result.truncated}
    results = [
        RankedDocument(
            index,
            score,
            UNSET if documents is None else _as_object(documents[index]),
            True if index in cut else UNSET,
        )
        for index, score in ranked
    ]
    tokens = outcome.usage.total_tokens
    warnings = [f"documents[{index}] and the query have more tokens than the limit" for index in sorted(cut)]
    meta = RerankMeta(ApiVersion(version), BilledUnits(tokens), Tokens(tokens), warnings or UNSET)
    return RerankAnswer(call.context.request_id, outcome.values.engine.name, results, outcome.usage, meta)


def _as_object(document: Document) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else document
