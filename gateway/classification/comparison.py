"""Compares two models on live requests: a sample is put to the other one too, and the best labels are compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import islice

from gateway.cache.pair_cache import unpack
from gateway.classification.call_merger import CallMerger
from gateway.classification.pairs import PlannedCall, missing_of, split_calls
from gateway.classification.scoring import ranking
from gateway.classification.work import Work
from gateway.scheduling.fair_queue import FairQueue
from gateway.settings import Settings
from gateway.triton.backend import Engine
from gateway.triton.load_balancer import LoadBalancer
from gateway.triton.shares import points_of
from stores.errors import ServiceError

DEADLINE_S = 60.0


class ModelComparison:
    """One text at a time, at low priority; what is refused or not answered in time is not compared."""

    def __init__(
        self, load_balancer: LoadBalancer, call_merger: CallMerger, queue: FairQueue, settings: Settings
    ) -> None:
        self._load_balancer = load_balancer
        self._call_merger = call_merger
        self._queue = queue
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self.texts: Counter[tuple[str, str, bool]] = Counter()
        """By the engine that answered, the one that it was compared with, and whether their best labels agree."""

    def consider(self, work: Work, engine: Engine) -> None:
        """Compare the first text of an answer if it is in the sample; returns at once."""
        if self._task is not None or not self._load_balancer.has_shares:
            return
        other, (text, labels) = self._load_balancer.other_engine(engine), work.pairs.rows[0]
        if other is None or points_of(work.caller.tenant_id, text)[1] >= self._settings.comparison_sample:
            return
        pairs = islice(missing_of(work.pairs, [], [None] * len(work.pairs)), len(labels))
        calls = split_calls(pairs, self._queue.max_call(work.lane), work.max_tokens)
        if len(calls) == 1 and len(labels) > 1:
            self._task = asyncio.create_task(self._compare(work, calls[0], engine, other))

    async def _compare(self, work: Work, planned: PlannedCall, engine: Engine, other: Engine) -> None:
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        call = planned.inference_call(work.pairs, self._settings.length_buckets, work.options.upstream.request_id)
        low, group = self._queue.low, call.group(other.id)
        turn = self._queue.admitted_turn(low, work.caller.tenant_id, planned.load, group)
        try:
            async with asyncio.timeout_at(deadline), turn as grant:
                answer = await self._call_merger.logits(call, grant, other.id)
        except (ServiceError, TimeoutError):
            return
        finally:
            self._task = None
        if answer.engine.id == other.id and not answer.refused:
            given, _, _ = unpack([value for value in work.values[: len(planned.pairs)] if value is not None])
            best = ranking(given, multi_label=False)[0][0]
            theirs = ranking([tuple(row) for row in answer.logits.tolist()], multi_label=False)[0][0]
            self.texts[engine.id, other.id, best == theirs] += 1
