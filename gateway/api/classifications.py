"""Runs the classification service for an endpoint, and fills in the context of its request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.api.call_options import call_options, has_options
from gateway.classification.known_answers import KnownAnswer, KnownAnswers
from gateway.classification.pairs import Source
from gateway.classification.schema import ClassifyBody, TokenizeAnswer, TokenizeBody
from gateway.classification.service import ClassificationService
from gateway.classification.work import Outcome, PairOutcome, Upstream
from gateway.observability.request_context import GatewayContext
from stores.errors import ServiceError
from web.operations import Call

ERRORS = (404, 429, 502, 503, 504)
"""Statuses of what can go wrong after validation; 404: a label set."""
BATCH_ROUTE = "batch"
"""Of batch lines: nobody waits for them, so they count neither as latency nor as errors of `/v1/classify`."""


_Answer = TypeVar("_Answer")


class Classifications:
    def __init__(self, service: ClassificationService, known_answers: KnownAnswers) -> None:
        self._service, self.known_answers = service, known_answers

    async def classify(self, call: Call, body: ClassifyBody) -> Outcome:
        outcome = await self._ask(
            call,
            lambda upstream: self._service.classify(body, call.caller, call_options(call.request, upstream)),
        )
        _report(call, outcome, len(outcome.request.names))
        return outcome

    async def answer_again(self, call: Call, body: bytes) -> KnownAnswer | None:
        """What this body has been answered before, if that can be the answer once more; it is charged anew."""
        if has_options(call.request):
            return None
        known = await self.known_answers.find(body, call.caller)
        if known is not None:
            outcome = known.outcome
            await self._ask(call, lambda _: self._service.answer_again(outcome, call.caller))
            _report(call, outcome, len(outcome.request.names))
        return known

    async def pair_logits(
        self, call: Call, pairs: Sequence[tuple[str, str]], source: Source, *, truncate: bool | None = True
    ) -> PairOutcome:
        """`truncate`: null is the default, as for every option of the compatible APIs."""
        outcome = await self._ask(
            call,
            lambda upstream: self._service.pair_logits(
                pairs, source, call.caller, call_options(call.request, upstream), truncate=truncate is not False
            ),
        )
        _report(call, outcome)
        return outcome

    async def count_tokens(self, call: Call, body: TokenizeBody) -> TokenizeAnswer:
        return await self._ask(call, lambda _: self._service.count_tokens(body, call.caller))

    async def _ask(self, call: Call, ask: Callable[[Upstream], Awaitable[_Answer]]) -> _Answer:
        """What is left of the quota is told with every answer, a refusal included, and Triton's part is logged."""
        context = _context(call)
        upstream = Upstream(context.request_id)
        if call.caller.low_priority:
            context.route = BATCH_ROUTE
        try:
            return await ask(upstream)
        except ServiceError as error:
            context.pairs_refused = getattr(error, "pairs_refused", 0)
            raise
        finally:
            context.quota = self._service.quota_status(call.tenant_id, call.caller.quota)
            context.budgets = self._service.budget_status(call.caller.limits)
            context.triton_s, context.turn_s = round(upstream.triton_s, 6), round(upstream.turn_s, 6)
            context.replicas = tuple(sorted(upstream.replicas))


def _context(call: Call) -> GatewayContext:
    assert isinstance(call.context, GatewayContext)
    return call.context


def _report(call: Call, outcome: Outcome | PairOutcome, labels: int = 0) -> None:
    context, values = _context(call), outcome.values
    context.texts, context.labels = len(values.pairs.rows), labels
    context.truncated_texts = sum([result.truncated for result in outcome.results])
    context.pairs_computed, context.pairs_cached = values.computed, values.cached
    context.engine_id = values.engine.id
