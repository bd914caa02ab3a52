"""vLLM's scores of pairs and classification (https://docs.vllm.ai/en/latest/serving/).

`text_1` is a text and `text_2` a hypothesis, as in a pair of `/predict`. Of `queries` and `documents`, as in
reranking, the document is the text and the query the hypothesis.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.classify import TEXT
from gateway.api.compat.answer_headers import answer_headers
from gateway.api.compat.options import OF_VLLM, Document, VllmOptions, check_options, classify_body, text_of
from gateway.classification.pairs import Source
from gateway.classification.schema import TextResult, Usage
from gateway.classification.scoring import entailment
from stores.errors import InvalidRequest
from stores.tenants import CLASSIFY
from web.error_shapes import OPENAI
from web.operations import Call, Operation, with_errors
from web.responses import json_response

Documents = Document | list[Document]
INPUTS = (("text_1", "text_2"), ("data_1", "data_2"), ("documents", "queries"), ("items", "queries"))
"""Names of the text and of the hypothesis."""


class ScoreBody(VllmOptions, kw_only=True):
    """One pair, one text or query with several of the other, or equally many of both."""

    model: str | None = None
    """Any name is accepted; there is one model."""
    text_1: Documents | None = None
    """Texts."""
    text_2: Documents | None = None
    """Hypotheses."""
    data_1: Documents | None = None
    data_2: Documents | None = None
    """The same under another name."""
    queries: Documents | None = None
    documents: Documents | None = None
    items: Documents | None = None
    """`documents` under another name."""


class VllmClassifyBody(VllmOptions, kw_only=True):
    """The body of `/classify`: `model` names a label set, or `labels` are given with it."""

    input: str | list[str]
    model: str | None = None
    labels: str | list[str] | None = None


class Score(Struct, frozen=True):
    index: int
    score: float
    truncated: bool | UnsetType = UNSET
    """`true`: the token limit cut the pair; otherwise absent."""
    object: str = "score"


class ScoreAnswer(Struct, frozen=True):
    id: str
    created: int
    model: str
    data: list[Score]
    usage: Usage
    object: str = "list"


class Classified(Struct, frozen=True):
    index: int
    label: str
    """The best label."""
    probs: list[float]
    """In the order in which the labels were given."""
    num_classes: int
    none_of_these: bool | UnsetType = UNSET
    """Whether the text is below the label set's threshold; absent without one."""
    truncated: bool | UnsetType = UNSET


class VllmClassifyAnswer(Struct, frozen=True):
    id: str
    created: int
    model: str
    data: list[Classified]
    usage: Usage
    object: str = "list"


class VllmEndpoints:
    def __init__(self, classifications: Classifications) -> None:
        self._classifications = classifications

    def operations(self) -> Sequence[Operation]:
        example = {"text_1": TEXT, "text_2": ["投诉", "咨询"]}
        scores = [
            Operation(
                "POST",
                path,
                self.score,
                "Probability that texts entail hypotheses, as vLLM",
                CLASSIFY,
                ScoreBody,
                answers=(ScoreAnswer,),
                example=example,
                errors=ERRORS,
                id=name,
            )
            for path, name in (("/score", "score"), ("/v1/score", "scoreV1"))
        ]
        classify = Operation(
            "POST",
            "/classify",
            self.classify,
            "Best label and probabilities of texts, as vLLM",
            CLASSIFY,
            VllmClassifyBody,
            answers=(VllmClassifyAnswer,),
            example={"input": [TEXT], "labels": ["投诉", "咨询"]},
            errors=ERRORS,
            id="classifyAsVllm",
        )
        return with_errors(OPENAI, [*scores, classify])

    async def score(self, call: Call) -> Response:
        body: ScoreBody = call.body
        check_options(body, *OF_VLLM)
        pairs, name = _pairs(body)
        outcome = await self._classifications.pair_logits(call, pairs, Source(name), truncate=body.truncate)
        data = [
            Score(
                index,
                result.logits[0] if body.raw else entailment(result.logits),
                True if result.truncated else UNSET,
            )
            for index, result in enumerate(outcome.results)
        ]
        model = outcome.values.engine.name
        answer = ScoreAnswer(f"score-{call.context.request_id}", int(time.time()), model, data, outcome.usage)
        return json_response(answer, headers=answer_headers(outcome))

    async def classify(self, call: Call) -> Response:
        body: VllmClassifyBody = call.body
        check_options(body, *OF_VLLM)
        if body.raw:
            raise InvalidRequest(
                "`/classify` always returns probabilities; leave it out or set it to true", field="use_activation"
            )
        classify = classify_body(body.model, body.labels, body.input, truncate=body.truncate)
        outcome = await self._classifications.classify(call, classify)
        names = outcome.request.names
        data = [_classified(index, names, result) for index, result in enumerate(outcome.results)]
        answer_id = f"classify-{call.context.request_id}"
        answer = VllmClassifyAnswer(answer_id, int(time.time()), outcome.model, data, outcome.usage)
        return json_response(answer, headers=answer_headers(outcome))


def _pairs(body: ScoreBody) -> tuple[list[tuple[str, str]], str]:
    """Texts with their hypotheses, and the name of the longer list."""
    given = [names for names in INPUTS if all(getattr(body, name) is not None for name in names)]
    if len(given) != 1:
        raise InvalidRequest("give text_1 and text_2, or queries and documents", field="text_1")
    text_name, hypothesis_name = given[0]
    texts, hypotheses = _texts(body, text_name), _texts(body, hypothesis_name)
    if len(texts) == len(hypotheses):
        return list(zip(texts, hypotheses, strict=True)), text_name
    if hypothesis_name == "queries" and len(hypotheses) == 1:
        return [(text, hypotheses[0]) for text in texts], text_name
    if hypothesis_name != "queries" and len(texts) == 1:
        return [(texts[0], hypothesis) for hypothesis in hypotheses], hypothesis_name
    raise InvalidRequest(
        f"{len(texts)} of {text_name} and {len(hypotheses)} of {hypothesis_name}; give equally many, or only one",
        field=text_name,
    )


def _texts(body: ScoreBody, name: str) -> list[str]:
    documents: Any = getattr(body, name)
    if not isinstance(documents, list):
        return [text_of(documents, name)]
    return [text_of(document, f"{name}[{index}]") for index, document in enumerate(documents)]


def _classified(index: int, names: Sequence[str], result: TextResult) -> Classified:
    score_of = dict(zip(result.labels, result.scores, strict=True))
    probs = [score_of[name] for name in names]
    truncated = True if result.truncated else UNSET
    return Classified(index, result.labels[0], probs, len(probs), result.none_of_these, truncated)
