"""The paths of the gateway, three to six lines each. What they mean is elsewhere."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.bodies import read_body
from gateway.classify import Classify, Outcome
from gateway.facts import Facts
from gateway.question import Question, ask
from gateway.readiness import Readiness
from gateway.schema import ClassifyAnswer, ClassifyAnswers, Pairs, decode_classify
from gateway.settings import Settings
from gateway.telemetry import CONTENT_TYPE, Telemetry


class Endpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, classify: Classify, readiness: Readiness, telemetry: Telemetry, settings: Settings) -> None:
        self._classify = classify
        self._readiness = readiness
        self._telemetry = telemetry
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            Route("/v1/classify", self.classify, methods=["POST"]),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def classify(self, request: Request) -> Response:
        facts: Facts = request.scope["facts"]
        question = ask(decode_classify(await read_body(request, self._settings)), self._settings)
        outcome = await self._classify.answer(question, facts)
        return _json(_answer(question, outcome, facts))

    async def livez(self, request: Request) -> Response:
        return _json({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        ready = self._readiness.ready
        status = {"status": "ready" if ready else "waiting for a first answer from Triton"}
        return _json(status, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self._telemetry.exposition(), media_type=CONTENT_TYPE)


def _answer(question: Question, outcome: Outcome, facts: Facts) -> Struct:
    pairs = Pairs(facts.pairs_computed, facts.pairs_cached)
    model, version = outcome.model, outcome.model_version
    if not question.single:
        return ClassifyAnswers(outcome.results, pairs, model, version, facts.request_id)
    (one,) = outcome.results
    return ClassifyAnswer(one.labels, one.scores, one.truncated, pairs, model, version, facts.request_id, one.cut)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
