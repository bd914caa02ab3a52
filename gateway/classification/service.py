"""The classification service: one request from its body to its outcome, top to bottom.

validate → look up → plan → admit → charge → compute → rank. Admission and charge follow from the plan: a request
whose pairs are all known, or are being computed for somebody else, needs no room in the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from msgspec import UNSET

from gateway.cache.pair_cache import PairCache, pack, pair_keys
from gateway.cache.single_flight import SingleFlight
from gateway.classification.gather import gather
from gateway.classification.options import DEFAULT_OPTIONS, CallOptions
from gateway.classification.pairs import (
    Computed,
    PairList,
    Part,
    PlannedCall,
    RowValues,
    plan_calls,
    plan_joins,
    rows_of,
    split_call,
)
from gateway.classification.request import ClassificationRequest, validate, validate_pairs
from gateway.classification.result import text_result
from gateway.classification.schema import ClassifyBody, LabelTokens, TokenizeAnswer, TokenizeBody
from gateway.classification.scoring import Logits
from gateway.classification.tokens import MIN_PAIR_TOKENS, encoding_cost, estimate_tokens
from gateway.classification.work import EngineChanged, Outcome, PairValues, Work
from gateway.errors import DeadlineExceeded, TritonUnavailable
from gateway.scheduling.fair_queue import NO_LOAD, FairQueue, Load
from gateway.settings import Settings
from gateway.tenancy.label_sets import LabelSetReader
from gateway.tenancy.quotas import Quotas, QuotaStatus
from gateway.tenancy.usage import UsageCounter
from gateway.triton.backend import DEFAULT_PRIORITY, LOWEST_PRIORITY, Engine, InferenceCall
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import ClientDisconnected, InvalidRequest, ServiceError
from stores.tenants import Quota
from web.authentication import Caller

ENGINE_ATTEMPTS = 2
"""An engine changes once in a roll-out; a request that meets two changes is asked again by its caller."""
LOW_PRIORITY_DEADLINE_S = 60.0
"""Of batch lines, which wait behind everybody else."""
ANY_LABEL = "?"
"""Stands for the labels where the tokens of a text alone are counted."""


class ClassificationService:
    def __init__(
        self,
        load_balancer: LoadBalancer,
        cache: PairCache,
        queue: FairQueue,
        quotas: Quotas,
        label_sets: LabelSetReader,
        usage: UsageCounter,
        settings: Settings,
    ) -> None:
        self._load_balancer = load_balancer
        self._cache = cache
        self._queue = queue
        self._quotas = quotas
        self._label_sets = label_sets
        self._usage = usage
        self._settings = settings
        self._max_call = Load(settings.max_pairs_per_call, settings.max_tokens_per_call)
        self._flights: SingleFlight[Computed] = SingleFlight()
        self._low_priority_flights: SingleFlight[Computed] = SingleFlight()
        """Of batch lines, which wait for longer than anybody else should."""

    async def classify(
        self, body: ClassifyBody, caller: Caller, options: CallOptions = DEFAULT_OPTIONS
    ) -> Outcome:
        """Every text with every label, or a `ServiceError`."""
        request = await self._validate(body, caller)
        values = await self._obtain(request.pairs, caller, options)
        results = [text_result(request, *values.unpack(row)) for row in values.rows]
        return Outcome(request, results, values)

    async def relate(
        self, pairs: Sequence[tuple[str, str]], field: str, caller: Caller, options: CallOptions = DEFAULT_OPTIONS
    ) -> tuple[list[Logits], PairValues]:
        """The logits of unrelated pairs, which came in `field`, in order; equal pairs are computed once."""
        values = await self._obtain(validate_pairs(pairs, self._settings, field), caller, options)
        logits_of = {
            (row.row.text, label): logits
            for row in values.rows
            for label, logits in zip(row.row.labels, values.unpack(row)[0], strict=True)
        }
        return [logits_of[pair] for pair in pairs], values

    async def count_tokens(self, body: TokenizeBody, caller: Caller) -> TokenizeAnswer:
        """How long the text is, and with each label; it takes a request from the quota, and no pairs."""
        text_alone = body.labels is UNSET and body.label_set is UNSET
        labels = [ANY_LABEL] if text_alone else body.labels
        request = await self._validate(
            ClassifyBody(
                labels,
                body.label_set,
                body.text,
                hypothesis_template=body.hypothesis_template,
                max_tokens=body.max_tokens,
            ),
            caller,
        )
        await self._quotas.open_charge(caller.tenant_id, self.limits_of(caller), 0, 0)
        (row,) = request.pairs.rows
        low = caller.low_priority
        cost = max(MIN_PAIR_TOKENS, encoding_cost(estimate_tokens(row.text)))
        lengths: list[tuple[int, int, int]] = []
        size, limit, text_tokens = self._settings.max_pairs_per_call, 0, 0
        deadline = time.monotonic() + self._settings.deadline_s
        for start in range(0, len(row.labels), size):
            chunk = row.labels[start : start + size]
            load = Load(len(chunk), cost)
            call = InferenceCall(row.text, chunk, request.pairs.template, request.pairs.max_tokens, deadline)
            self._queue.admit(caller.tenant_id, load, low_priority=low)
            try:
                async with (
                    asyncio.timeout_at(deadline),
                    self._queue.turn(caller.tenant_id, load, low_priority=low),
                ):
                    counts = await self._load_balancer.count_tokens(call)
            except TimeoutError:
                raise DeadlineExceeded("no answer in time; try again") from None
            finally:
                self._queue.release(caller.tenant_id, load, low_priority=low)
            limit, text_tokens = counts.limit, counts.text
            lengths += [tuple(pair) for pair in counts.pairs.tolist()]
        tokens = [LabelTokens(name, *length) for name, length in zip(request.names, lengths, strict=True)]
        truncated = any(label.text_cut or label.label_cut for label in tokens)
        return TokenizeAnswer(limit, text_tokens, [] if text_alone else tokens, truncated)

    def limits_of(self, caller: Caller) -> Quota:
        return self._quotas.limits_of(caller.quota)

    def quota_status(self, caller: Caller) -> QuotaStatus | None:
        """What is left of the caller's pairs; None where they are unlimited."""
        return self._quotas.status(caller.tenant_id, self.limits_of(caller))

    async def _validate(self, body: ClassifyBody, caller: Caller) -> ClassificationRequest:
        if not isinstance(body.label_set, str):
            return validate(body, self._settings)
        if body.labels is not UNSET:
            raise InvalidRequest("give either labels or label_set", field="label_set")
        label_set = await self._label_sets.get(caller.tenant_id, body.label_set)
        return validate(body, self._settings, label_set)

    async def _obtain(self, pairs: PairList, caller: Caller, options: CallOptions) -> PairValues:
        """The values of all pairs by the deadline, each from where it is cheapest."""
        limits = self.limits_of(caller)
        max_tokens = pairs.max_tokens or self._settings.max_tokens
        tokens = pairs.estimated_tokens(max_tokens) if limits.tokens_per_minute else 0
        charge = await self._quotas.open_charge(caller.tenant_id, limits, len(pairs), tokens)
        deadline = self._deadline(caller, options)
        work = Work(pairs, max_tokens, caller, options, charge, limits.pairs_in_flight, deadline)
        try:
            return await self._attempt(work)
        except (DeadlineExceeded, ClientDisconnected, asyncio.CancelledError):
            if charge.computed:
                # An abandoned request was charged all the same.
                self._count(work)
            raise

    async def _attempt(self, work: Work) -> PairValues:
        """Look up, plan, admit, charge, compute; again when an engine changed meanwhile."""
        pairs, caller, options, charge = work.pairs, work.caller, work.options, work.charge
        for _ in range(ENGINE_ATTEMPTS):
            work.begin_attempt()
            engine = self._load_balancer.choose_engine()
            rows = rows_of(pairs, caller.tenant_id, engine)
            await self._look_up(rows, fresh=options.fresh)
            missing = sum(row.values.count(None) for row in rows)
            await charge.lease(missing)
            if engine is not None and not missing:
                charge.settle(0, 0)
            else:
                flights = self._flights_of(caller)
                calls = plan_calls(rows, flights, self._max_call, work.max_tokens, fresh=options.fresh)
                self._admit(work, sum((call.load for call in calls), NO_LOAD))
                try:
                    engine = await self._compute(work, rows, calls, engine)
                except EngineChanged:
                    continue
            charge.correct(work.tokens)
            self._count(work, cached=len(pairs) - work.computed)
            return PairValues(rows, engine, work.computed, len(pairs) - work.computed, work.tokens, work.triton_s)
        raise TritonUnavailable("the engine changed while this request ran; try again")

    def _count(self, work: Work, *, cached: int = 0) -> None:
        self._usage.count(work.caller.tenant_id, computed=work.computed, cached=cached, tokens=work.tokens)

    async def _look_up(self, rows: Sequence[RowValues], *, fresh: bool) -> None:
        keys = [key for row in rows for key in row.keys]
        if fresh or not keys:
            return
        cached = iter(await self._cache.get(keys))
        for row in rows:
            row.values = [next(cached) for _ in row.keys]

    def _admit(self, work: Work, load: Load) -> None:
        """Room in the queue for pairs that nobody computes yet, then the charge; both or neither."""
        if load.pairs:
            caller = work.caller
            self._queue.admit(caller.tenant_id, load, work.max_in_flight, low_priority=caller.low_priority)
        try:
            work.charge.settle(work.computed + load.pairs, work.estimated_tokens + load.tokens)
        except ServiceError:
            self._release(work, load)
            raise
        work.computed += load.pairs
        work.estimated_tokens += load.tokens

    async def _compute(
        self, work: Work, rows: Sequence[RowValues], calls: Sequence[PlannedCall], engine: Engine | None
    ) -> Engine:
        """Fill in the missing values, by flights of our own and of others; returns the engine of all of them."""
        at_once = asyncio.Semaphore(self._settings.max_calls_per_request)
        own = [self._start(work, call, engine, at_once) for call in calls]
        joined = plan_joins(rows, calls, self._flights_of(work.caller))
        fills = [part.fill() for part in own] + [self._fill_joined(work, part, engine) for part in joined]
        try:
            async with asyncio.timeout_at(work.deadline):
                engines = await gather(fills, work.options.disconnected)
        except TimeoutError:
            raise DeadlineExceeded("no answer in time; send less at a time or try again") from None
        engines += [*work.engines.values(), *([engine] if engine is not None else [])]
        known = {engine.id: engine for engine in engines}
        if len(known) > 1:
            raise EngineChanged
        return next(iter(known.values()))

    def _start(self, work: Work, call: PlannedCall, engine: Engine | None, at_once: asyncio.Semaphore) -> Part:
        """A flight for the pairs of `call`, which have room in the queue and leave it when the flight ends."""
        keys = [] if work.options.fresh else call.keys
        flight = self._flights_of(work.caller).start(
            keys,
            self._ask_triton(work, call, engine, at_once),
            lambda: self._release(work, call.load),
        )
        return Part(call.row, flight, call.indices, list(range(len(call.indices))))

    async def _ask_triton(
        self, work: Work, planned: PlannedCall, engine: Engine | None, at_once: asyncio.Semaphore
    ) -> Computed:
        pairs, tenant_id, low = work.pairs, work.caller.tenant_id, work.caller.low_priority
        text, labels = planned.row.row.text, planned.labels
        priority = LOWEST_PRIORITY if low else DEFAULT_PRIORITY
        call = InferenceCall(text, labels, pairs.template, pairs.max_tokens, work.deadline, priority)
        async with at_once, self._queue.turn(tenant_id, planned.load, low_priority=low):
            began = time.monotonic()
            try:
                answer = await self._load_balancer.logits(call, engine.id if engine else None)
            finally:
                work.triton_s += time.monotonic() - began
        values = pack(answer.logits, answer.tokens)
        if engine is not None and answer.engine.id == engine.id:
            keys = planned.keys
        else:
            keys = pair_keys(tenant_id, answer.engine.id, pairs.template, pairs.max_tokens, text, labels)
        await self._cache.put(dict(zip(keys, values, strict=True)))
        work.tokens += int(answer.tokens[:, 0].sum())
        work.engines[answer.engine.id] = answer.engine
        return Computed(values, answer.engine)

    async def _fill_joined(self, work: Work, part: Part, engine: Engine | None) -> Engine:
        """What another request computes; where that fails it was the other's failure, and we compute it."""
        try:
            return await part.fill()
        except (ServiceError, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            calls = split_call(part.row, part.indices, self._max_call, work.max_tokens)
            await work.charge.lease(work.computed + len(part.indices))
            self._admit(work, sum((call.load for call in calls), NO_LOAD))
            at_once = asyncio.Semaphore(self._settings.max_calls_per_request)
            fills = [self._start(work, call, engine, at_once).fill() for call in calls]
            return (await gather(fills, None))[0]

    def _flights_of(self, caller: Caller) -> SingleFlight[Computed]:
        return self._low_priority_flights if caller.low_priority else self._flights

    def _release(self, work: Work, load: Load) -> None:
        if load.pairs:
            self._queue.release(work.caller.tenant_id, load, low_priority=work.caller.low_priority)

    def _deadline(self, caller: Caller, options: CallOptions) -> float:
        max_s = self._settings.deadline_s
        if caller.low_priority:
            max_s = max(max_s, LOW_PRIORITY_DEADLINE_S)
        return asyncio.get_running_loop().time() + min(options.timeout_s or max_s, max_s)
