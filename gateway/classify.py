"""The use case, on one screen: obtain the pairs of a question, rank them, say what was cut. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from gateway.errors import TritonUnavailable
from gateway.facts import Facts
from gateway.pair_cache import unpack
from gateway.pair_source import Ask, EngineChanged, Pairs, PairSource
from gateway.question import Question
from gateway.quotas import NO_QUOTA, Quota, Quotas
from gateway.schema import Cut, Result
from gateway.scoring import Logits, entailment, ranking
from gateway.settings import Settings

ATTEMPTS = 2
"""An engine changes once in a roll-out; a question that meets two changes is asked again by its caller."""


class Caller(Protocol):
    """Who asks, and how much it may."""

    @property
    def tenant_id(self) -> str: ...

    @property
    def quota(self) -> Quota: ...


class Wishes(Struct, frozen=True):
    """How an answer is wanted."""

    fresh: bool = False
    """Compute every pair, though it may be known."""
    timeout_s: float | None = None
    """How long the caller will wait, up to the gateway's own deadline."""
    left: Callable[[], Awaitable[None]] | None = None
    """Returns when nobody waits for the answer any more."""


NO_WISHES = Wishes()


class Outcome(Struct, frozen=True):
    """Results in the order of the texts, from one engine."""

    results: list[Result]
    model: str
    model_version: str


class Classify:
    """Answers questions with the pairs of `source`, within the limits of `settings`."""

    def __init__(self, source: PairSource, quotas: Quotas, settings: Settings) -> None:
        self._source = source
        self._quotas = quotas
        self._settings = settings
        self._default = Quota(
            settings.requests_per_minute or None,
            settings.pairs_per_minute or None,
            settings.tenant_pairs_in_flight or None,
        )

    async def answer(
        self, question: Question, caller: Caller, facts: Facts, wishes: Wishes = NO_WISHES
    ) -> Outcome:
        """Every text with every label, or a `GatewayError`; at most `deadline_s` from here."""
        pairs = await self._pairs(question, caller, facts, wishes)
        results = [self._result(question, values, facts) for values in pairs.values]
        return Outcome(results, pairs.engine.name, pairs.engine.id)

    async def logits(
        self, question: Question, caller: Caller, facts: Facts, wishes: Wishes = NO_WISHES
    ) -> list[list[Logits]]:
        """For every text the logits of every label, in their order; refused and bounded as `answer` is."""
        pairs = await self._pairs(question, caller, facts, wishes)
        return [unpack(values)[0] for values in pairs.values]

    async def _pairs(self, question: Question, caller: Caller, facts: Facts, wishes: Wishes) -> Pairs:
        facts.texts, facts.labels = len(question.texts), len(question.labels)
        timeout_s = min(wishes.timeout_s or self._settings.deadline_s, self._settings.deadline_s)
        deadline = asyncio.get_running_loop().time() + timeout_s
        quota = self._quota(caller)

        def spend(computed: int, cached: int) -> None:
            try:
                self._quotas.take_pairs(caller.tenant_id, quota, computed=computed, cached=cached)
            finally:
                facts.quota = self._quotas.standing(caller.tenant_id, quota)

        await self._quotas.prepare(caller.tenant_id, quota, question.pairs)
        self._quotas.take_request(caller.tenant_id, quota)
        pairs = await self._from_one_engine(
            Ask(question, caller.tenant_id, spend, wishes.fresh, deadline, quota.pairs_in_flight, wishes.left),
            facts,
        )
        facts.engine_id = pairs.engine.id
        return pairs

    async def tokens(self, question: Question, caller: Caller) -> tuple[int, int, list[tuple[int, int, int]]]:
        """The limit, the text's tokens, and for each label the pair's tokens and what is cut from either.

        Takes a request from the caller's quota, and no pairs.
        """
        quota = self._quota(caller)
        await self._quotas.prepare(caller.tenant_id, quota, 0)
        self._quotas.take_request(caller.tenant_id, quota)
        return await self._source.tokens(question)

    def _quota(self, caller: Caller) -> Quota:
        """The tenant's own, the gateway's where it has none."""
        own, default = caller.quota, self._default
        if own == NO_QUOTA:
            return default
        return Quota(
            own.requests or default.requests,
            own.pairs or default.pairs,
            own.pairs_in_flight or default.pairs_in_flight,
        )

    async def _from_one_engine(self, ask: Ask, facts: Facts) -> Pairs:
        for _ in range(ATTEMPTS):
            try:
                return await self._source.pairs(ask, facts)
            except EngineChanged:
                continue
        raise TritonUnavailable("the engine changed while this request ran; try again")

    def _result(self, question: Question, values: Sequence[bytes], facts: Facts) -> Result:
        logits, tokens = unpack(values)
        names = question.names or question.labels
        order, scores = ranking(logits, multi_label=question.multi_label)
        told: dict[str, Any] = {}
        if question.threshold is not None:
            told["none_of_these"] = max(map(entailment, logits)) < question.threshold
        if question.entailment:
            told["entailment"] = [entailment(logits[place]) for place in order]
        longest, text_tokens, label_tokens = map(max, zip(*tokens, strict=True))
        truncated = text_tokens > 0 or label_tokens > 0
        if truncated:
            facts.truncated_texts += 1
            # A pair that was cut is as long as the limit.
            told["cut"] = Cut(question.max_tokens or longest, text_tokens, label_tokens)
        return Result([names[place] for place in order], [scores[place] for place in order], truncated, **told)
