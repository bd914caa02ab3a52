"""Counts tokens without classifying: how long a text is, and with each label."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.classification.pairs import PairList, Row
from gateway.classification.request import ClassificationRequest
from gateway.classification.schema import LabelTokens, TokenizeAnswer
from gateway.classification.tokens import MIN_PAIR_TOKENS, encoding_cost, estimate_tokens, rounded_share
from gateway.errors import DeadlineExceeded
from gateway.scheduling.fair_queue import FairQueue
from gateway.scheduling.lane import Load
from gateway.tenancy.quotas import Charge
from gateway.triton.backend import InferenceCall, Pair, TokenCounts
from gateway.triton.length_buckets import may_exceed
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import InvalidRequest
from web.authentication import Caller


class TokenCounter:
    """Calls take their turn in the queue like any other; they hold no pairs, for no engine runs."""

    def __init__(self, load_balancer: LoadBalancer, queue: FairQueue, max_pairs_per_call: int) -> None:
        self._load_balancer = load_balancer
        self._queue = queue
        self._max_pairs_per_call = max_pairs_per_call

    async def count(self, request: ClassificationRequest, caller: Caller, deadline: float) -> TokenizeAnswer:
        """Of the request's only text, by `deadline` on the event loop's clock."""
        pairs = request.pairs
        (row,) = pairs.rows
        limit, text_tokens, text_unknown = 0, 0, 0.0
        tokens: list[LabelTokens] = []
        for start in range(0, len(row.labels), self._max_pairs_per_call):
            end = start + self._max_pairs_per_call
            counts = await self._call(pairs, 0, start, caller, deadline)
            limit, text_tokens, text_unknown = counts.limit, counts.text, float(counts.unknown[0, 0])
            tokens += [
                LabelTokens(name, length, text_cut, label_cut, rounded_share(unknown))
                for name, (length, text_cut, label_cut), (_, unknown) in zip(
                    request.names[start:end], counts.pairs.tolist(), counts.unknown.tolist(), strict=True
                )
            ]
        truncated = any(label.text_cut or label.label_cut for label in tokens)
        return TokenizeAnswer(limit, text_tokens, rounded_share(text_unknown), tokens, truncated)

    async def refuse_truncation(
        self, pairs: PairList, max_tokens: int, caller: Caller, deadline: float, charge: Charge
    ) -> None:
        """`InvalidRequest` where the limit of `max_tokens` would cut a pair; short pairs are not counted.

        Whoever cannot pay for the others is refused before they are counted; what is computed is charged later.
        """
        long = [
            (index, row)
            for index, row in enumerate(pairs.rows)
            if may_exceed(row.text, row.labels, pairs.template, max_tokens)
        ]
        if not long:
            return
        count = sum(len(row.labels) for _, row in long)
        await charge.lease(count, count * MIN_PAIR_TOKENS)
        charge.settle(count, count * MIN_PAIR_TOKENS)
        try:
            await self._refuse_cut(pairs, long, caller, deadline)
        finally:
            charge.cancel()

    async def _refuse_cut(
        self, pairs: PairList, rows: Sequence[tuple[int, Row]], caller: Caller, deadline: float
    ) -> None:
        for index, row in rows:
            for start in range(0, len(row.labels), self._max_pairs_per_call):
                counts = await self._call(pairs, index, start, caller, deadline)
                _, text_cut, label_cut = counts.pairs.max(axis=0).tolist()
                if text_cut or label_cut:
                    raise InvalidRequest(
                        f"text and label have at most {counts.limit} tokens together: {text_cut} of the text and "
                        f"{label_cut} of a label would be cut; shorten them, or leave truncate out",
                        field=pairs.source.of_text(index),
                    )

    async def _call(self, pairs: PairList, row: int, start: int, caller: Caller, deadline: float) -> TokenCounts:
        """Of a row's text with as many of its labels as a call takes, from `start` on."""
        text, all_labels = pairs.rows[row]
        labels = all_labels[start : start + self._max_pairs_per_call]
        load = Load(0, max(MIN_PAIR_TOKENS, encoding_cost(estimate_tokens(text))))
        call = InferenceCall([Pair(text, label, pairs.template, pairs.max_tokens) for label in labels], deadline)
        tenant_id = caller.tenant_id
        self._queue.admit(tenant_id, load, counting=True)
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._queue.turn(tenant_id, load, counting=True),
            ):
                counts = await self._load_balancer.count_tokens(call)
        except TimeoutError:
            raise DeadlineExceeded("no answer in time; try again") from None
        finally:
            self._queue.release(tenant_id, load, counting=True)
        for index, error in counts.refused.items():
            raise pairs.source.named(error, row, start + index)
        return counts
