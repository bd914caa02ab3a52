"""Counts tokens without classifying: how long a text is, and with each label."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.classification.request import ClassificationRequest
from gateway.classification.schema import LabelTokens, TokenizeAnswer
from gateway.classification.tokens import MIN_PAIR_TOKENS, encoding_cost, estimate_tokens
from gateway.errors import DeadlineExceeded
from gateway.scheduling.fair_queue import FairQueue, Load
from gateway.triton.backend import InferenceCall, TokenCounts
from gateway.triton.load_balancer import LoadBalancer
from web.authentication import Caller


class TokenCounter:
    """Calls take their turn in the queue like any other; they hold no pairs, for no engine runs."""

    def __init__(self, load_balancer: LoadBalancer, queue: FairQueue, max_pairs_per_call: int) -> None:
        self._load_balancer = load_balancer
        self._queue = queue
        self._max_pairs_per_call = max_pairs_per_call

    async def count(self, request: ClassificationRequest, caller: Caller, deadline: float) -> TokenizeAnswer:
        """Of the request's only text, by `deadline` on the event loop's clock."""
        (row,) = request.pairs.rows
        limit, text_tokens = 0, 0
        lengths: list[tuple[int, int, int]] = []
        for start in range(0, len(row.labels), self._max_pairs_per_call):
            labels = row.labels[start : start + self._max_pairs_per_call]
            counts = await self._call(row.text, labels, request, caller, deadline)
            limit, text_tokens = counts.limit, counts.text
            lengths += [tuple(pair) for pair in counts.pairs.tolist()]
        tokens = [LabelTokens(name, *length) for name, length in zip(request.names, lengths, strict=True)]
        truncated = any(label.text_cut or label.label_cut for label in tokens)
        return TokenizeAnswer(limit, text_tokens, tokens, truncated)

    async def _call(
        self, text: str, labels: Sequence[str], request: ClassificationRequest, caller: Caller, deadline: float
    ) -> TokenCounts:
        load = Load(0, max(MIN_PAIR_TOKENS, encoding_cost(estimate_tokens(text))))
        call = InferenceCall(text, labels, request.pairs.template, request.pairs.max_tokens, deadline)
        tenant_id, low_priority = caller.tenant_id, caller.low_priority
        self._queue.admit(tenant_id, load, low_priority=low_priority)
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._queue.turn(tenant_id, load, low_priority=low_priority),
            ):
                return await self._load_balancer.count_tokens(call)
        except TimeoutError:
            raise DeadlineExceeded("no answer in time; try again") from None
        finally:
            self._queue.release(tenant_id, load, low_priority=low_priority)
