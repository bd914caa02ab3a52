"""The paths of the gateway, three to six lines each. What they mean is elsewhere."""

from __future__ import annotations

from functools import partial

from msgspec import UNSET, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.answers import json_answer, quota_headers, route
from gateway.api.bodies import read_body, timeout_s_of, until_gone
from gateway.classify import Classify, Outcome, Wishes
from gateway.errors import InvalidRequest
from gateway.facts import Facts
from gateway.identity import Identities, Identity
from gateway.label_sets import LabelSets, known_labels
from gateway.question import Question, ask, ask_with
from gateway.readiness import Readiness
from gateway.schema import ClassifyAnswer, ClassifyAnswers, ClassifyBody, Pairs, decode
from gateway.settings import Settings
from gateway.telemetry import CONTENT_TYPE, Telemetry
from gateway.tenants import CLASSIFY


class Endpoints:
    """Holds what the endpoints delegate to."""

    def __init__(
        self,
        classify: Classify,
        identities: Identities,
        label_sets: LabelSets,
        readiness: Readiness,
        telemetry: Telemetry,
        settings: Settings,
    ) -> None:
        self._classify = classify
        self._identities = identities
        self._label_sets = label_sets
        self._readiness = readiness
        self._telemetry = telemetry
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            route("POST", "/v1/classify", self.classify),
            route("GET", "/livez", self.livez),
            route("GET", "/readyz", self.readyz),
            route("GET", "/metrics", self.metrics),
        ]

    async def classify(self, request: Request) -> Response:
        facts: Facts = request.scope["facts"]
        caller = await self._identities.caller(request.headers.get("Authorization"))
        facts.tenant_id = caller.tenant_id
        caller.require(CLASSIFY)
        question = await self._question(decode(ClassifyBody, await read_body(request, self._settings)), caller)
        fresh = "no-cache" in request.headers.get("Cache-Control", "")
        wishes = Wishes(fresh, timeout_s_of(request), partial(until_gone, request))
        outcome = await self._classify.answer(question, caller, facts, wishes)
        return json_answer(_answer(question, outcome, facts), headers=quota_headers(facts))

    async def _question(self, body: ClassifyBody, caller: Identity) -> Question:
        """Labels of the body, or of the caller's label set."""
        if not isinstance(body.label_set, str):
            return ask(body, self._settings)
        if body.labels is not UNSET:
            raise InvalidRequest("give either labels or label_set", field="label_set")
        found = await self._label_sets.get(caller.tenant_id, body.label_set)
        return ask_with(body, known_labels(found), self._settings)

    async def livez(self, request: Request) -> Response:
        return json_answer({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        ready = self._readiness.ready
        status = {"status": "ready" if ready else "waiting for a first answer from Triton"}
        return json_answer(status, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self._telemetry.exposition(), media_type=CONTENT_TYPE)


def _answer(question: Question, outcome: Outcome, facts: Facts) -> Struct:
    pairs = Pairs(facts.pairs_computed, facts.pairs_cached)
    model, version = outcome.model, outcome.model_version
    label_set = question.label_set or UNSET
    if not question.single:
        return ClassifyAnswers(outcome.results, pairs, model, version, facts.request_id, label_set)
    (one,) = outcome.results
    return ClassifyAnswer(
        one.labels,
        one.scores,
        one.truncated,
        pairs,
        model,
        version,
        facts.request_id,
        one.cut,
        one.none_of_these,
        label_set,
    )
