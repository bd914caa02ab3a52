"""Counts tokens without classifying: how long a text is, and with each label."""

from __future__ import annotations

import asyncio

from gateway.classification.gather import until
from gateway.classification.pairs import PairList
from gateway.classification.request import ClassificationRequest
from gateway.classification.schema import LabelTokens, TokenizeAnswer
from gateway.classification.tokens import MIN_PAIR_TOKENS, encoding_cost, estimate_tokens, rounded_share
from gateway.classification.work import Work
from gateway.scheduling.fair_queue import FairQueue
from gateway.scheduling.lane import Load
from gateway.triton.backend import InferenceCall, Pair, TokenCounts
from gateway.triton.length_buckets import may_exceed
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import InvalidRequest
from web.authentication import Caller


class TokenCounter:
    """Counts wait in a lane of their own, one at a time; they hold no pairs, for no engine runs."""

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
            counts = await self._call(pairs, 0, start, caller, deadline)
            limit, text_tokens, text_unknown = counts.limit, counts.text, float(counts.unknown[0, 0])
            names = request.names[start : start + self._max_pairs_per_call]
            tokens += [
                LabelTokens(name, length, text_cut, label_cut, rounded_share(unknown))
                for name, (length, text_cut, label_cut), (_, unknown) in zip(
                    names, counts.pairs.tolist(), counts.unknown.tolist(), strict=True
                )
            ]
        truncated = any(label.text_cut or label.label_cut for label in tokens)
        return TokenizeAnswer(limit, text_tokens, rounded_share(text_unknown), tokens, truncated)

    async def refuse_truncation(self, work: Work) -> None:
        """`InvalidRequest` where the token limit would cut a pair; short pairs are not counted.

        Whoever cannot pay for the others is refused before they are counted; what is computed is charged later.
        """
        pairs, charge = work.pairs, work.charge
        long = [
            (row, labels)
            for row, (text, labels) in enumerate(pairs.rows)
            if may_exceed(text, labels, pairs.template, work.max_tokens)
        ]
        if not long:
            return
        count = sum(len(labels) for _, labels in long)
        if charge.needs_lease:
            await charge.lease(count, count * MIN_PAIR_TOKENS)
        charge.settle(count, count * MIN_PAIR_TOKENS)
        calls = [(row, start) for row, labels in long for start in range(0, len(labels), self._max_pairs_per_call)]
        try:
            for row, start in calls:
                counts = await self._call(pairs, row, start, work.caller, work.deadline)
                _, text_cut, label_cut = counts.pairs.max(axis=0).tolist()
                if text_cut or label_cut:
                    raise InvalidRequest(
                        f"text and label have at most {counts.limit} tokens together: {text_cut} of the text and "
                        f"{label_cut} of a label would be cut; shorten them, or leave truncate out",
                        field=pairs.source.of_text(row),
                    )
        finally:
            charge.cancel()

    async def _call(self, pairs: PairList, row: int, start: int, caller: Caller, deadline: float) -> TokenCounts:
        """Of a row's text with as many of its labels as a call takes, from `start` on."""
        text, all_labels = pairs.rows[row]
        labels = all_labels[start : start + self._max_pairs_per_call]
        load = Load(0, max(MIN_PAIR_TOKENS, encoding_cost(estimate_tokens(text))))
        call = InferenceCall(
            [Pair(text, label, pairs.template, pairs.max_tokens) for label in labels],
            special_tokens=pairs.special_tokens,
        )
        async with until(deadline), self._queue.admitted_turn(self._queue.counts, caller.tenant_id, load) as grant:
            counts = await asyncio.shield(grant.send(self._load_balancer.count_tokens(call)))
        for index, error in counts.refused.items():
            raise pairs.source.named(error, row, start + index)
        return counts
