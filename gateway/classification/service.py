"""The classification service: one request from its body to its outcome, top to bottom.

validate → look up → plan → admit → charge → compute → rank. Admission and charge follow from the plan: a request
whose pairs are all known, or are being computed for somebody else, needs no room in the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from msgspec import UNSET, structs

from gateway.cache.pair_cache import PairCache, pack
from gateway.cache.single_flight import SingleFlight
from gateway.classification.call_merger import CallMerger
from gateway.classification.comparison import ModelComparison
from gateway.classification.gather import check_deadline, gather, until
from gateway.classification.pairs import (
    Computed,
    PairAt,
    PairList,
    Part,
    PlannedCall,
    Source,
    join,
    keys_of,
    plan,
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
from gateway.classification.work import CallOptions, EngineChanged, Outcome, PairOutcome, PairValues, Work
from gateway.errors import TritonUnavailable
from gateway.scheduling.fair_queue import FairQueue
from gateway.scheduling.lane import NO_LOAD, Load
from gateway.settings import Settings
from gateway.tenancy.label_sets import LabelSetCache
from gateway.tenancy.quotas import Quotas
from gateway.tenancy.usage import UsageCounter
from gateway.triton.backend import Engine
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import InvalidRequest, ServiceError
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
        label_sets: LabelSetCache,
        usage: UsageCounter,
        settings: Settings,
    ) -> None:
        self._load_balancer, self._call_merger, self._cache, self._queue = load_balancer, call_merger, cache, queue
        self._quotas, self.quota_status, self.budget_status = quotas, quotas.status, quotas.budgets.status
        self._label_sets, self._usage, self._settings = label_sets, usage, settings
        self.comparison = ModelComparison(load_balancer, call_merger, queue, settings)
        self._token_counter = TokenCounter(load_balancer, queue, settings.max_pairs_per_call)
        self._flights: dict[bool, SingleFlight[Computed]] = {False: SingleFlight(), True: SingleFlight()}
        """By low priority: those of batch lines wait for longer than anybody else should."""

    async def classify(self, body: ClassifyBody, caller: Caller, options: CallOptions) -> Outcome:
        """Score every text against every label; raises a `ServiceError`."""
        request = await self._validate(body, caller)
        values = await self._values_by_deadline(request.pairs, caller, options, request.label_set_name)
        unpacked = [*values.by_row()]
        results = [text_result(request, *of_row) for of_row in unpacked]
        usage = values.usage(sum(length for _, tokens, _ in unpacked for length, _, _ in tokens))
        return Outcome(request, results, values, usage)

    async def answer_again(self, outcome: Outcome, caller: Caller) -> None:
        """Charge and count one more request with this outcome, whose pairs are all cached."""
        pairs = len(outcome.values.values)
        charge = await self._quotas.open_charge(caller.tenant_id, caller.quota, pairs, caller.limits)
        try:
            if charge.needs_lease:
                await charge.lease(0)
            charge.settle(0)
        finally:
            charge.close()
        self._usage.count(caller, outcome.request.label_set_name, computed=0, cached=pairs)

    async def pair_logits(
        self,
        pairs: Sequence[tuple[str, str]],
        source: Source,
        caller: Caller,
        options: CallOptions,
        *,
        truncate: bool = True,
    ) -> PairOutcome:
        """The logits of unrelated pairs, which came from `source`, in order; equal pairs are computed once."""
        pair_list = validate_pairs(pairs, self._settings, source, caller.special_tokens, truncate=truncate)
        values = await self._values_by_deadline(pair_list, caller, options)
        results_of = values.pair_results()
        results = [results_of[pair] for pair in pairs]
        return PairOutcome(results, values, values.usage(sum(result.tokens for result in results)))

    async def count_tokens(self, body: TokenizeBody, caller: Caller) -> TokenizeAnswer:
        """How long the text is, and with each label; it takes a request from the quota, and no pairs."""
        request = await self._validate(body_to_tokenize(body), caller)
        await self._quotas.open_charge(caller.tenant_id, caller.quota, pairs=0)
        deadline = self._deadline(caller)
        answer = await self._token_counter.count(request, caller, deadline)
        return structs.replace(answer, labels=[]) if is_text_alone(body) else answer

    async def _validate(self, body: ClassifyBody, caller: Caller) -> ClassificationRequest:
        label_set = None
        if isinstance(body.label_set, str):
            if body.labels is not UNSET:
                raise InvalidRequest("give either labels or label_set", field="label_set")
            label_set = await self._label_sets.get((caller.tenant_id, body.label_set))
        return validate(body, self._settings, label_set, caller.special_tokens)

    async def _values_by_deadline(
        self, pairs: PairList, caller: Caller, options: CallOptions, label_set: str = ""
    ) -> PairValues:
        """Each value from the cache, another request's flight, or Triton."""
        charge = await self._quotas.open_charge(caller.tenant_id, caller.quota, len(pairs), caller.limits)
        lane = self._queue.low if caller.low_priority else self._queue.normal
        work = Work(
            pairs,
            pairs.max_tokens or self._settings.max_tokens,
            caller,
            options,
            charge,
            lane,
            self._deadline(caller, options.timeout_s),
            asyncio.Semaphore(self._settings.max_calls_per_request),
            label_set,
        )
        try:
            if not pairs.truncate:
                await self._token_counter.refuse_truncation(work)
            return await self._values_from_one_engine(work)
        except BaseException:
            if charge.computed:
                # Whatever was charged counts as usage, though it was abandoned or failed.
                self._usage.count(caller, label_set, computed=charge.computed, cached=0, tokens=charge.tokens)
            raise
        finally:
            charge.close()

    async def _values_from_one_engine(self, work: Work) -> PairValues:
        """Look up, plan, admit, charge, compute; again when an engine changed meanwhile."""
        pairs, caller, charge = work.pairs, work.caller, work.charge
        for _ in range(ENGINE_ATTEMPTS):
            engine = self._load_balancer.choose_engine(caller.tenant_id, pairs.rows[0].text)
            work.begin_attempt(engine)
            if work.keys and not work.options.fresh:
                work.values = await self._cache.get(caller.tenant_id, work.keys)
            if charge.needs_lease:
                await self._lease(work, work.missing())
            if engine is not None and None not in work.values:
                charge.settle(0, 0)
            else:
                check_deadline(work.deadline)
                fills = self._plan(work, work.missing())
                try:
                    engine = await self._fill_missing(work, fills)
                except EngineChanged:
                    continue
            charge.correct(work.tokens)
            computed = work.computed.pairs
            cached = len(pairs) - computed
            self._usage.count(caller, work.label_set, computed=computed, cached=cached, tokens=work.tokens)
            self.comparison.consider(work, engine)
            values = [value for value in work.values if value is not None]
            return PairValues(pairs, values, engine, computed, cached, work.tokens)
        raise TritonUnavailable("the engine changed while this request ran; try again")

    async def _lease(self, work: Work, missing: Iterable[PairAt]) -> None:
        """Have at hand what charging these pairs takes, if all are computed; charge before anything is awaited."""
        load = sum((call.load for call in self._calls(work, missing)), work.computed)
        await work.charge.lease(load.pairs, load.tokens)

    def _calls(self, work: Work, pairs: Iterable[PairAt]) -> list[PlannedCall]:
        """Of one size for the whole request: smaller ones would take more than it has leased."""
        work.max_call = work.max_call or self._queue.max_call(work.lane)
        return split_calls(pairs, work.max_call, work.max_tokens)

    def _plan(self, work: Work, missing: Iterable[PairAt]) -> list[Coroutine[Any, Any, Engine]]:
        """What fills in the missing values: flights of our own, admitted and charged, and those of others."""
        flights = self._flights[work.caller.low_priority]
        to_compute, to_join = plan(missing, flights, fresh=work.options.fresh)
        calls = self._calls(work, to_compute)
        self._admit(work, sum((call.load for call in calls), NO_LOAD))
        own = [self._start_flight(work, call, flights) for call in calls]
        joined = join(to_join, flights)
        return [part.fill(work.values) for part in own] + [self._fill_joined(work, part) for part in joined]

    def _admit(self, work: Work, load: Load) -> None:
        """Room in the queue for pairs that nobody computes yet, then the charge; both or neither."""
        computed, tenant_id = work.computed + load, work.caller.tenant_id
        if load.pairs:
            self._queue.admit(work.lane, tenant_id, load, work.charge.quota.pairs_in_flight)
        try:
            work.charge.settle(computed.pairs, computed.tokens)
        except ServiceError:
            if load.pairs:
                self._queue.release(work.lane, tenant_id, load)
            raise
        work.computed = computed

    async def _fill_missing(self, work: Work, fills: Sequence[Coroutine[Any, Any, Engine]]) -> Engine:
        """The engine of all values, the known ones included; `EngineChanged` where there are two."""
        async with until(work.deadline, work.options.disconnected):
            work.engines = {engine.id: engine for engine in await gather(fills)} | work.engines
        if len(work.engines) > 1:
            raise EngineChanged
        return next(iter(work.engines.values()))

    def _start_flight(self, work: Work, call: PlannedCall, flights: SingleFlight[Computed]) -> Part:
        """A flight for the pairs of `call`, which have room in the queue and leave it when the flight ends."""
        keys = [] if work.options.fresh else [pair.key for pair in call.pairs if pair.key is not None]
        leave = partial(self._queue.release, work.lane, work.caller.tenant_id, call.load)
        flight = flights.start(keys, self._ask_triton(work, call), leave)
        return Part(flight, call.pairs, list(range(len(call.pairs))))

    async def _ask_triton(self, work: Work, planned: PlannedCall) -> Computed:
        pairs, tenant_id, upstream = work.pairs, work.caller.tenant_id, work.options.upstream
        call = planned.inference_call(pairs, self._settings.length_buckets, upstream.request_id)
        engine_id = work.engine.id if work.engine else None
        turn = self._queue.turn(work.lane, tenant_id, planned.load, call.group(engine_id))
        async with work.call_slots, AsyncExitStack() as stack:
            began = time.monotonic()
            try:
                grant = await stack.enter_async_context(turn)
            finally:
                upstream.turn_s += time.monotonic() - began
            began = time.monotonic()
            try:
                answer = await self._call_merger.logits(call, grant, engine_id)
            finally:
                upstream.triton_s += time.monotonic() - began
        upstream.replicas.add(answer.replica)
        for index, error in answer.refused.items():
            raise pairs.source.named(error, planned.pairs[index].row, planned.pairs[index].label)
        values = pack(answer.logits, answer.tokens, answer.unknown)
        keys = work.keys if answer.engine.id == engine_id else keys_of(pairs, tenant_id, answer.engine)
        of_keys = {keys[pair.index]: value for pair, value in zip(planned.pairs, values, strict=True)}
        await self._cache.put(tenant_id, of_keys)
        counted = answer.tokens[:, 0]
        work.lane.correct(tenant_id, planned.tokens_more(counted))
        work.tokens += int(counted.sum())
        work.engines.setdefault(answer.engine.id, answer.engine)
        return Computed(values, answer.engine)

    async def _fill_joined(self, work: Work, part: Part) -> Engine:
        """What another request computes; that request's failure may not concern this one, which asks again."""
        try:
            return await part.fill(work.values)
        except (ServiceError, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # This request is cancelled, and not the flight that its last waiter left.
        if work.charge.needs_lease:
            await self._lease(work, part.pairs)
        # Of many that waited, the first computes anew and the others join it.
        fills = self._plan(work, part.pairs)
        # One of them: those that computed for this request are in `work.engines`.
        return (await gather(fills))[0]

    def _deadline(self, caller: Caller, timeout_s: float | None = None) -> float:
        max_s = self._settings.deadline_s
        if caller.low_priority:
            max_s = max(max_s, LOW_PRIORITY_DEADLINE_S)
        return asyncio.get_running_loop().time() + min(timeout_s or max_s, max_s)
