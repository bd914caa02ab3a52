"""Text Embeddings Inference's `/predict`: what the model tells of pairs; `rerank.py` has its `/rerank`.

Shapes: https://huggingface.github.io/text-embeddings-inference/. A pair is a text and a hypothesis.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.classify import TEXT
from gateway.api.compat.answer_headers import answer_headers
from gateway.api.compat.huggingface import LabelScore
from gateway.api.compat.options import TruncationDirection
from gateway.classification.pairs import Source
from gateway.classification.scoring import Logits, relations
from gateway.triton.backend import Engine
from stores.errors import InvalidRequest
from stores.tenants import CLASSIFY
from web.error_shapes import TEI
from web.operations import Call, Operation, with_errors
from web.responses import json_response

RELATIONS = ("entailment", "neutral", "contradiction")


class PredictBody(Struct):
    """One pair, or a list of pairs."""

    inputs: list[str | list[str]]
    raw_scores: bool | None = False
    """Logits instead of probabilities."""
    truncate: bool | None = True
    """`false`: refuse pairs beyond the token limit."""
    truncation_direction: TruncationDirection = "right"


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
        ]
        return with_errors(TEI, operations)

    async def predict(self, call: Call) -> Response:
        body: PredictBody = call.body
        pairs, single = _pairs(body.inputs)
        outcome = await self._classifications.pair_logits(call, pairs, Source("inputs"), truncate=body.truncate)
        told = _relations_of(outcome.values.engine)
        answers = [_label_scores(result.logits, told, raw=bool(body.raw_scores)) for result in outcome.results]
        return json_response(answers[0] if single else answers, headers=answer_headers(outcome))


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


def _relations_of(engine: Engine) -> Collection[object]:
    """Those that the model tells apart; a logit that it lacks is a constant of the engine. Not known yet: all."""
    told = engine.contract.get("logits")
    return told if isinstance(told, Collection) else RELATIONS


def _label_scores(logits: Logits, told: Collection[object], *, raw: bool) -> list[LabelScore]:
    scores = logits if raw else relations(logits)
    named = [LabelScore(name, score) for name, score in zip(RELATIONS, scores, strict=True) if name in told]
    return sorted(named, key=lambda relation: -relation.score)
