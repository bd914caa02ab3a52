"""Pairs as Text Embeddings Inference takes them: `/predict` for all three relations, `/rerank` for many texts.

Shapes: https://huggingface.github.io/text-embeddings-inference/. A pair is a text and a hypothesis; `/rerank`
takes the query as the hypothesis, and scores each text with its probability of entailing that.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.answering import Answering
from gateway.api.answers import json_answer, quota_headers, route
from gateway.api.bodies import read_body
from gateway.api.callers import caller_of
from gateway.api.huggingface import LabelScore
from gateway.api.wishes import wishes_of
from gateway.errors import InvalidRequest
from gateway.identity import Identities, Identity
from gateway.schema import decode
from gateway.scoring import Logits, relations
from gateway.settings import Settings
from gateway.tenants import CLASSIFY

RELATIONS = ("entailment", "neutral", "contradiction")


class PredictBody(Struct):
    """One pair, or a list of pairs."""

    inputs: list[str | list[str]]
    raw_scores: bool = False
    """Logits instead of probabilities."""


class RerankBody(Struct):
    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False


class Ranked(Struct, frozen=True):
    """A text's place in the request, and its score."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class TeiEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, answering: Answering, identities: Identities, settings: Settings) -> None:
        self._answering = answering
        self._identities = identities
        self._settings = settings

    def routes(self) -> list[Route]:
        return [route("POST", "/predict", self.predict), route("POST", "/rerank", self.rerank)]

    async def predict(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        body = decode(PredictBody, await read_body(request, self._settings))
        pairs, single = _pairs(body.inputs)
        found = await self._logits(request, caller, pairs)
        shaped = [_label_scores(one, raw=body.raw_scores) for one in found]
        headers = quota_headers(request.scope["facts"])
        return json_answer(shaped[0] if single else shaped, headers=headers)

    async def rerank(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        body = decode(RerankBody, await read_body(request, self._settings))
        found = await self._logits(request, caller, [(text, body.query) for text in body.texts])
        scores = [one[0] if body.raw_scores else relations(one)[0] for one in found]
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        texts = body.texts if body.return_text else None
        ranked = [Ranked(place, scores[place], texts[place] if texts else UNSET) for place in order]
        return json_answer(ranked, headers=quota_headers(request.scope["facts"]))

    async def _logits(self, request: Request, caller: Identity, pairs: list[tuple[str, str]]) -> list[Logits]:
        """Of each pair, in their order; a pair that comes again is computed once."""
        if not 1 <= len(pairs) <= self._settings.max_texts:
            raise InvalidRequest(f"1 to {self._settings.max_texts} pairs are possible", field="inputs")
        facts = request.scope["facts"]
        return await self._answering.logits(pairs, caller, facts, wishes_of(request))


def _pairs(inputs: list[str | list[str]]) -> tuple[list[tuple[str, str]], bool]:
    single = bool(inputs) and isinstance(inputs[0], str)
    pairs: list[tuple[str, str]] = []
    for row in [inputs] if single else inputs:
        match row:
            case [str(text), str(hypothesis)]:
                pairs.append((text, hypothesis))
            case _:
                raise InvalidRequest("a pair is a list of a text and a hypothesis", field="inputs")
    return pairs, single


def _label_scores(logits: Logits, *, raw: bool) -> list[LabelScore]:
    scores = logits if raw else relations(logits)
    named = [LabelScore(*pair) for pair in zip(RELATIONS, scores, strict=True)]
    return sorted(named, key=lambda one: -one.score)
