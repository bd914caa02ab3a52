"""Merges what the fair queue grants together: the pairs of many requests in one call to Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain

from msgspec import structs

from gateway.errors import TritonFailed
from gateway.scheduling.lane import Grant
from gateway.triton.backend import InferenceCall, PairLogits
from gateway.triton.client import MODEL
from gateway.triton.load_balancer import LoadBalancer
from web.tracing import Tracing

MAX_ALONE = 2
"""Calls at a time when those of a failed one are asked alone."""

_Answers = asyncio.Task[Sequence[PairLogits | BaseException]]


class CallMerger:
    """Each call gets its own part of the answer; one that fails by its own fault fails alone.

    Its requests end at their own deadlines; a call goes on, and keeps its place in the window, until Triton has
    answered it.
    """

    def __init__(self, load_balancer: LoadBalancer, tracing: Tracing) -> None:
        self._load_balancer = load_balancer
        self._tracing = tracing
        self._under_way: dict[Grant, tuple[list[InferenceCall], _Answers]] = {}
        """The calls of a grant, and what computes them all."""

    async def logits(self, call: InferenceCall, grant: Grant, engine_id: str | None = None) -> PairLogits:
        """The answer to `call`, which takes its turn by `grant`; all calls of a grant want the same engine."""
        with self._tracing.upstream_call(MODEL) as trace:
            if grant not in self._under_way:
                calls: list[InferenceCall] = []
                # The task starts after all calls of the grant were added: they were woken together, before it.
                answers = grant.send(self._ask(calls, engine_id))
                answers.add_done_callback(lambda _: self._under_way.pop(grant))
                self._under_way[grant] = calls, answers
            else:
                calls, answers = self._under_way[grant]
                self._tracing.link(calls[0].trace)
            index = len(calls)
            calls.append(structs.replace(call, trace=trace))
            answer = (await asyncio.shield(answers))[index]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _ask(
        self, calls: Sequence[InferenceCall], engine_id: str | None
    ) -> Sequence[PairLogits | BaseException]:
        """The answer to each call, or the error."""
        if len(calls) == 1:
            return [await self._load_balancer.logits(calls[0], engine_id)]
        request_ids = dict.fromkeys(chain(*(call.request_ids for call in calls)))
        merged = structs.replace(
            calls[0], pairs=[*chain(*(call.pairs for call in calls))], request_ids=(*request_ids,)
        )
        try:
            answer = await self._load_balancer.logits(merged, engine_id)
        except TritonFailed:
            # It may be the fault of one of them.
            slots = asyncio.Semaphore(MAX_ALONE)

            async def alone(call: InferenceCall) -> PairLogits:
                async with slots:
                    return await self._load_balancer.logits(call, engine_id)

            return await asyncio.gather(*map(alone, calls), return_exceptions=True)
        parts = []
        start = 0
        for call in calls:
            parts.append(answer.part(start, len(call.pairs)))
            start += len(call.pairs)
        return parts
