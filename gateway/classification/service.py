"""The classification service: one request from its body to its outcome, top to bottom.

validate → look up → plan → admit → charge → compute → rank. Admission and charge follow from the plan: a request
whose pairs are all known, or are being computed for somebody else, needs no room in the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from msgspec import UNSET, structs

from gateway.cache.pair_cache import PairCache, pack
from gateway.cache.single_flight import SingleFlight
from gateway.classification.call_merger import CallMerger
from gateway.classification.comparison import ModelComparison
from gateway.classification.gather import gather
from gateway.classification.options import DEFAULT_OPTIONS, CallOptions
from gateway.classification.pairs import (
    Computed,
    PairAt,
    PairList,
    Part,
    PlannedCall,
    RowValues,
    Source,
    missing_of,
    plan_calls,
    plan_joins,
    rows_of,
    split_calls,
)
from gateway.classification.request import (
    ClassificationRequest,
    body_to_tokenize,
    is_text_alone,
    validate,
    validate_pairs,
)
from gateway.classification.result import text_result
from gateway.classification.schema import ClassifyBody, TokenizeAnswer, TokenizeBody
from gateway.classification.token_counter import TokenCounter
from gateway.classification.work import EngineChanged, Outcome, PairOutcome, PairValues, Work
from gateway.errors import DeadlineExceeded, TritonUnavailable
from gateway.scheduling.fair_queue import FairQueue
from gateway.scheduling.lane import NO_LOAD, Load
from gateway.settings import Settings
from gateway.tenancy.label_sets import LabelSetReader
from gateway.tenancy.quotas import Quotas, QuotaStatus
from gateway.tenancy.usage import UsageCounter
from gateway.triton.backend import Engine
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import InvalidRequest, ServiceError
from stores.tenants import Quota
from web.authentication import Caller

ENGINE_ATTEMPTS = 2
"""An engine changes once in a roll-out; a request that meets two changes fails, and its caller retries."""
LOW_PRIORITY_DEADLINE_S = 60.0
"""Deadline of batch lines, which wait behind everybody else."""


class ClassificationService:
    """Holds no request; each is a `Work`."""

    def __init__(
        self,
        load_balancer: LoadBalancer,
        call_merger: CallMerger,
        cache: PairCache,
        queue: FairQueue,
        quotas: Quotas,
        label_sets: LabelSetReader,
        usage: UsageCounter,
        settings: Settings,
    ) -> None:
        self._load_balancer, self._call_merger, self._cache, self._queue = load_balancer, call_merger, cache, queue
        self._quotas, self.budget_status = quotas, quotas.budgets.status
        self._label_sets, self._usage, self._settings = label_sets, usage, settings
        self.comparison = ModelComparison(load_balancer, call_merger, queue, settings)
        self._token_counter = TokenCounter(load_balancer, queue, settings.max_pairs_per_call)
        self._flights: SingleFlight[Computed] = SingleFlight()
        self._low_priority_flights: SingleFlight[Computed] = SingleFlight()
        """Those of batch lines wait for longer than anybody else should."""

    async def classify(
        self, body: ClassifyBody, caller: Caller, options: CallOptions = DEFAULT_OPTIONS
    ) -> Outcome:
        """Score every text against every label; raises a `ServiceError`."""
        request = await self._validate(body, caller)
        values = await self._values_by_deadline(request.pairs, caller, options)
        unpacked = [values.unpack(row) for row in values.rows]
        results = [text_result(request, *of_row) for of_row in unpacked]
        usage = values.usage(sum(length for _, tokens, _ in unpacked for length, _, _ in tokens))
        return Outcome(request, results, values, usage)

    async def pair_logits(
        self,
        pairs: Sequence[tuple[str, str]],
        source: Source,
        caller: Caller,
        options: CallOptions = DEFAULT_OPTIONS,
        *,
        truncate: bool = True,
    ) -> PairOutcome:
        """The logits of unrelated pairs, which came from `source`, in order; equal pairs are computed once."""
        asked, pair_list = validate_pairs(pairs, self._settings, source, caller.special_tokens, truncate=truncate)
        values = await self._values_by_deadline(pair_list, caller, options)
        results_of = values.pair_results()
        results = [results_of[pair] for pair in asked]
        return PairOutcome(results, values, values.usage(sum(result.tokens for result in results)))

    async def count_tokens(self, body: TokenizeBody, caller: Caller) -> TokenizeAnswer:
        """How long the text is, and with each label; it takes a request from the quota, and no pairs."""
        request = await self._validate(body_to_tokenize(body), caller)
        await self._quotas.open_charge(caller.tenant_id, self.limits_of(caller), pairs=0)
        deadline = self._deadline(caller, DEFAULT_OPTIONS)
        answer = await self._token_counter.count(request, caller, deadline)
        return structs.replace(answer, labels=[]) if is_text_alone(body) else answer

    def limits_of(self, caller: Caller) -> Quota:
        return self._quotas.limits_of(caller.quota)

    def quota_status(self, caller: Caller) -> QuotaStatus | None:
        """What is left of the caller's pairs; None where they are unlimited."""
        return self._quotas.status(caller.tenant_id, self.limits_of(caller))

    async def _validate(self, body: ClassifyBody, caller: Caller) -> ClassificationRequest:
        if not isinstance(body.label_set, str):
            return validate(body, self._settings, special_tokens=caller.special_tokens)
        if body.labels is not UNSET:
            raise InvalidRequest("give either labels or label_set", field="label_set")
        label_set = await self._label_sets.get(caller.tenant_id, body.label_set)
        return validate(body, self._settings, label_set, caller.special_tokens)

    async def _values_by_deadline(self, pairs: PairList, caller: Caller, options: CallOptions) -> PairValues:
        """Each value from the cache, another request's flight, or Triton."""
        limits = self.limits_of(caller)
        charge = await self._quotas.open_charge(caller.tenant_id, limits, len(pairs), caller.limits)
        deadline, max_call = self._deadline(caller, options), self._queue.max_call
        max_tokens = pairs.max_tokens or self._settings.max_tokens
        work = Work(pairs, max_tokens, max_call, caller, options, charge, limits.pairs_in_flight, deadline)
        if not pairs.truncate:
            await self._token_counter.refuse_truncation(pairs, max_tokens, caller, deadline, charge)
        try:
            return await self._values_from_one_engine(work)
        except BaseException:
            if charge.computed:
                # Whatever was charged counts as usage, though it was abandoned or failed.
                self._usage.count(caller, computed=charge.computed, cached=0, tokens=charge.tokens)
            raise
        finally:
            charge.close()

    async def _values_from_one_engine(self, work: Work) -> PairValues:
        """Look up, plan, admit, charge, compute; again when an engine changed meanwhile."""
        pairs, caller, options, charge = work.pairs, work.caller, work.options, work.charge
        for _ in range(ENGINE_ATTEMPTS):
            work.begin_attempt()
            engine = self._load_balancer.choose_engine(caller.tenant_id, pairs.rows[0].text)
            rows = rows_of(pairs, caller.tenant_id, engine)
            await self._look_up(rows, caller.tenant_id, fresh=options.fresh)
            if charge.needs_lease:
                await self._lease(work, missing_of(rows))
            if engine is not None and not any(None in row.values for row in rows):
                charge.settle(0, 0)
            else:
                fills = self._plan(work, [*missing_of(rows)], engine)
                try:
                    engine = await self._fill_missing(work, fills, engine)
                except EngineChanged:
                    continue
            charge.correct(work.tokens)
            cached = len(pairs) - work.computed
            self._usage.count(caller, computed=work.computed, cached=cached, tokens=work.tokens)
            self.comparison.consider(work, rows, engine)
            return PairValues(rows, engine, work.computed, cached, work.tokens, work.triton_s)
        raise TritonUnavailable("the engine changed while this request ran; try again")

    async def _look_up(self, rows: Sequence[RowValues], tenant_id: str, *, fresh: bool) -> None:
        keys = [key for row in rows for key in row.keys]
        if fresh or not keys:
            return
        cached = iter(await self._cache.get(tenant_id, keys))
        for row in rows:
            row.values = [next(cached) for _ in row.keys]

    async def _lease(self, work: Work, missing: Iterable[PairAt]) -> None:
        """Have at hand what charging these pairs takes, if all are computed; charge before anything is awaited."""
        load = sum((call.load for call in split_calls(missing, work.max_call, work.max_tokens)), NO_LOAD)
        await work.charge.lease(work.computed + load.pairs, work.estimated_tokens + load.tokens)

    def _plan(
        self, work: Work, missing: Sequence[PairAt], engine: Engine | None
    ) -> list[Coroutine[Any, Any, Engine]]:
        """What fills in the missing values: flights of our own, admitted and charged, and those of others."""
        flights, fresh = self._flights_of(work.caller), work.options.fresh
        calls = plan_calls(missing, flights, work.max_call, work.max_tokens, fresh=fresh)
        self._admit(work, sum((call.load for call in calls), NO_LOAD))
        call_slots = asyncio.Semaphore(self._settings.max_calls_per_request)
        own = [self._start_flight(work, call, engine, call_slots) for call in calls]
        joined = plan_joins(missing, calls, flights)
        return [part.fill() for part in own] + [self._fill_joined(work, part, engine) for part in joined]

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

    async def _fill_missing(
        self, work: Work, fills: Sequence[Coroutine[Any, Any, Engine]], engine: Engine | None
    ) -> Engine:
        """The engine of all values, the known ones included; `EngineChanged` where there are two."""
        try:
            async with asyncio.timeout_at(work.deadline):
                engines = await gather(fills, work.options.disconnected)
        except TimeoutError:
            raise DeadlineExceeded("no answer in time; send less at a time or try again") from None
        engines += work.engines.values()
        by_id = {each.id: each for each in engines} | ({engine.id: engine} if engine is not None else {})
        if len(by_id) > 1:
            raise EngineChanged
        return by_id.popitem()[1]

    def _start_flight(
        self, work: Work, call: PlannedCall, engine: Engine | None, call_slots: asyncio.Semaphore
    ) -> Part:
        """A flight for the pairs of `call`, which have room in the queue and leave it when the flight ends."""
        keys = [] if work.options.fresh else call.keys
        flight = self._flights_of(work.caller).start(
            keys,
            self._ask_triton(work, call, engine, call_slots),
            lambda: self._release(work, call.load),
        )
        return Part(flight, call.pairs, list(range(len(call.pairs))))

    async def _ask_triton(
        self, work: Work, planned: PlannedCall, engine: Engine | None, call_slots: asyncio.Semaphore
    ) -> Computed:
        pairs, tenant_id, low = work.pairs, work.caller.tenant_id, work.caller.low_priority
        call = planned.inference_call(pairs, work.deadline, self._settings.length_buckets)
        engine_id = engine.id if engine else None
        turn = self._queue.turn(tenant_id, planned.load, (engine_id, call.bucket), low_priority=low)
        async with call_slots, turn as grant:
            began = time.monotonic()
            try:
                answer = await self._call_merger.logits(call, grant, engine_id)
            finally:
                work.triton_s += time.monotonic() - began
        for index, error in answer.refused.items():
            row, label = planned.pairs[index]
            raise pairs.source.named(error, row.index, label)
        values = pack(answer.logits, answer.tokens, answer.unknown)
        keys = planned.keys
        if answer.engine.id != engine_id:
            rows = rows_of(pairs, tenant_id, answer.engine)
            keys = [rows[row.index].keys[label] for row, label in planned.pairs]
        await self._cache.put(tenant_id, dict(zip(keys, values, strict=True)))
        work.tokens += int(answer.tokens[:, 0].sum())
        work.engines[answer.engine.id] = answer.engine
        return Computed(values, answer.engine)

    async def _fill_joined(self, work: Work, part: Part, engine: Engine | None) -> Engine:
        """What another request computes; that request's failure may not concern this one, which asks again."""
        try:
            return await part.fill()
        except (ServiceError, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # This request is cancelled, and not the flight that its last waiter left.
        if work.charge.needs_lease:
            await self._lease(work, part.pairs)
        # Of many that waited, the first computes anew and the others join it.
        fills = self._plan(work, part.pairs, engine)
        # One of them: those that computed for this request are in `work.engines`.
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
