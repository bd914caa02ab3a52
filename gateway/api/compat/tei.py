"""Text Embeddings Inference: `/predict` for the three relations of pairs, `/rerank` for many texts.

Shapes: https://huggingface.github.io/text-embeddings-inference/. A pair is a text and a hypothesis; `/rerank`
takes the query as the hypothesis, and scores each text with its probability of entailing that.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.classify import TEXT
from gateway.api.compat.huggingface import LabelScore
from gateway.api.compat.told import headers_of
from gateway.classification.scoring import Logits, entailment, relations
from stores.errors import InvalidRequest
from stores.tenants import CLASSIFY
from web.error_shapes import TEI
from web.operations import Call, Operation, with_errors
from web.responses import json_response

RELATIONS = ("entailment", "neutral", "contradiction")


class PredictBody(Struct):
    """One pair, or a list of pairs."""

    inputs: list[str | list[str]]
    raw_scores: bool = False
    """Logits instead of probabilities."""
    truncate: bool = True
    """`false`: refuse pairs beyond the token limit."""


class RerankBody(Struct):
    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = True


class RankedText(Struct, frozen=True):
    """A text's position in the request, and its score."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class TeiEndpoints:
    def __init__(self, classifications: Classifications) -> None:
        self._classifications = classifications

    def operations(self) -> Sequence[Operation]:
        operations = [
            Operation(
                "POST",
                "/predict",
                self.predict,
                "Relations of texts to hypotheses, as Text Embeddings Inference",
                CLASSIFY,
                PredictBody,
                answers=(list[LabelScore], list[list[LabelScore]]),
                example={"inputs": [TEXT, "投诉"]},
                errors=ERRORS,
                id="predict",
            ),
            Operation(
                "POST",
                "/rerank",
                self.rerank,
                "Texts by how much they entail a query, as Text Embeddings Inference",
                CLASSIFY,
                RerankBody,
                answers=(list[RankedText],),
                example={"query": "投诉", "texts": [TEXT, "你们几点开门"]},
                errors=ERRORS,
                id="rerank",
            ),
        ]
        return with_errors(TEI, operations)

    async def predict(self, call: Call) -> Response:
        body: PredictBody = call.body
        pairs, single = _pairs(body.inputs)
        outcome = await self._classifications.pair_logits(call, pairs, "inputs", truncate=body.truncate)
        answers = [_label_scores(result.logits, raw=body.raw_scores) for result in outcome.results]
        return json_response(answers[0] if single else answers, headers=headers_of(outcome))

    async def rerank(self, call: Call) -> Response:
        body: RerankBody = call.body
        pairs = [(text, body.query) for text in body.texts]
        outcome = await self._classifications.pair_logits(call, pairs, "texts", truncate=body.truncate)
        logits = [result.logits for result in outcome.results]
        scores = [of_pair[0] if body.raw_scores else entailment(of_pair) for of_pair in logits]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        texts = body.texts if body.return_text else [UNSET] * len(scores)
        ranked = [RankedText(index, scores[index], texts[index]) for index in order]
        return json_response(ranked, headers=headers_of(outcome))


def _pairs(inputs: list[str | list[str]]) -> tuple[list[tuple[str, str]], bool]:
    """The pairs, and whether the caller gave a single one."""
    single = bool(inputs) and isinstance(inputs[0], str)
    pairs: list[tuple[str, str]] = []
    for pair in [inputs] if single else inputs:
        match pair:
            case [str(text), str(hypothesis)]:
                pairs.append((text, hypothesis))
            case _:
                raise InvalidRequest("a pair is a list of a text and a hypothesis", field="inputs")
    return pairs, single


def _label_scores(logits: Logits, *, raw: bool) -> list[LabelScore]:
    scores = logits if raw else relations(logits)
    named = [LabelScore(relation, score) for relation, score in zip(RELATIONS, scores, strict=True)]
    return sorted(named, key=lambda relation: -relation.score)
