"""Values of pairs, each from where it is cheapest: the cache, a flight under way, or Triton. Knows no scores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from gateway.errors import ClientGone, DeadlineExceeded, GatewayError
from gateway.facts import Facts
from gateway.flights import Flight, Flights
from gateway.pair_cache import PairCache, pack, pair_keys
from gateway.question import Question
from gateway.readiness import Readiness
from gateway.settings import Settings
from gateway.triton import Engine
from gateway.turns import Turns


class EngineChanged(Exception):
    """Pairs of one question came from two engines; asked again, they come from one."""


class Ask(Struct, frozen=True):
    """A question, who asks it, and until when."""

    question: Question
    tenant_id: str
    spend: Callable[[int, int], None]
    """Takes computed and known pairs from the asker's quota, or raises; called before anything is computed."""
    fresh: bool
    """Compute everything, though it may be known."""
    deadline: float
    """On the event loop's clock."""
    most_in_flight: int | None = None
    """Pairs that the tenant may have in flight; None: its share."""
    left: Callable[[], Awaitable[None]] | None = None
    """Returns when nobody waits for the answer any more; waited for while something is computed."""


class Pairs(Struct, frozen=True):
    """Values for each text, in the order of its labels, all from one engine."""

    values: list[list[bytes]]
    engine: Engine


class _Text(Struct):
    """What is known of one text's pairs, by place."""

    text: str
    keys: list[bytes]
    """Empty while the engine is not known."""
    values: list[bytes | None]


@dataclass(frozen=True, slots=True)
class _Computed:
    values: list[bytes]
    engine: Engine


@dataclass(frozen=True, slots=True)
class _Part:
    """Pairs of one text that come from one flight: where each belongs, and where the flight has it."""

    text: _Text
    flight: Flight[_Computed]
    places: list[int]
    there: list[int]


class PairSource:
    """Each tenant's pairs by themselves: no key, flight or value is shared between two."""

    def __init__(
        self,
        replicas: Readiness,
        cache: PairCache,
        turns: Turns,
        settings: Settings,
    ) -> None:
        self._replicas = replicas
        self._cache = cache
        self._turns = turns
        self._settings = settings
        self._flights: Flights[_Computed] = Flights()

    async def pairs(self, ask: Ask, facts: Facts) -> Pairs:
        """All pairs of the question by its deadline; `EngineChanged` when they would be of two engines."""
        engine = self._replicas.choose_engine()
        texts = [await self._known(ask, text, engine) for text in ask.question.texts]
        facts.pairs_computed, facts.pairs_cached = 0, ask.question.pairs
        if engine is not None and not any(None in text.values for text in texts):
            ask.spend(0, ask.question.pairs)
        else:
            try:
                async with asyncio.timeout_at(ask.deadline):
                    engine = await self._complete(ask, texts, engine, facts)
            except TimeoutError:
                raise DeadlineExceeded("no answer in time; send less at a time or try again") from None
        return Pairs([[value for value in text.values if value is not None] for text in texts], engine)

    async def tokens(self, question: Question) -> tuple[int, int, list[tuple[int, int, int]]]:
        """The limit, the only text's tokens, and each pair's tokens, cut from the text, cut from the label."""
        (text,) = question.texts
        size, timeout_s = self._settings.max_pairs_per_call, self._settings.deadline_s
        limit, text_tokens = 0, 0
        lengths: list[tuple[int, int, int]] = []
        for start in range(0, len(question.labels), size):
            labels = question.labels[start : start + size]
            counts = await self._replicas.tokens(text, labels, question.template, question.max_tokens, timeout_s)
            limit, text_tokens = counts.limit, counts.text
            lengths += [tuple(row) for row in counts.pairs.tolist()]
        return limit, text_tokens, lengths

    async def _known(self, ask: Ask, text: str, engine: Engine | None) -> _Text:
        question = ask.question
        if engine is None:
            return _Text(text, [], [None] * len(question.labels))
        keys = self._keys(ask, text, question.labels, engine)
        values = [None] * len(keys) if ask.fresh else await self._cache.get(keys)
        return _Text(text, keys, list(values))

    async def _complete(self, ask: Ask, texts: Sequence[_Text], engine: Engine | None, facts: Facts) -> Engine:
        """Fill in what is missing, by flights of others and of our own; the engine that all of it came from."""
        engines = {} if engine is None else {engine.id: engine}
        own = self._start(ask, texts, engine, facts)
        ours = {(id(part.text), place) for part in own for place in part.places}
        joined = self._join(texts, ours)
        fills = [self._fill(part, engines) for part in own]
        fills += [self._fill_joined(ask, part, engine, engines, facts) for part in joined]
        await _all(fills, ask.left)
        if len(engines) > 1:
            raise EngineChanged
        return next(iter(engines.values()))

    def _start(self, ask: Ask, texts: Sequence[_Text], engine: Engine | None, facts: Facts) -> list[_Part]:
        """Flights for what nobody computes yet, in calls that Triton takes; `Overloaded` before the first."""
        size = self._settings.max_pairs_per_call
        planned: set[bytes] = set()
        calls: list[tuple[_Text, list[int]]] = []
        for text in texts:
            missing = []
            for place, value in enumerate(text.values):
                key = text.keys[place] if text.keys and not ask.fresh else None
                if value is not None or (key is not None and (key in planned or self._flights.find(key))):
                    continue
                missing.append(place)
                planned |= {key} if key is not None else set()
            calls += [(text, missing[start : start + size]) for start in range(0, len(missing), size)]
        pairs = sum(len(places) for _, places in calls)
        self._take(ask, pairs, facts)
        try:
            ask.spend(pairs, ask.question.pairs - pairs)
        except GatewayError:
            self._turns.give_back(ask.tenant_id, pairs)
            raise
        at_once = asyncio.Semaphore(self._settings.max_calls_per_request)
        return [self._fly(ask, text, places, engine, facts, at_once) for text, places in calls]

    def _join(self, texts: Sequence[_Text], ours: set[tuple[int, int]]) -> list[_Part]:
        """Missing pairs that a flight carries already: another request's, or ours for the same text again."""
        parts: dict[tuple[int, int], _Part] = {}
        for text in texts:
            for place, value in enumerate(text.values):
                if value is not None or (id(text), place) in ours:
                    continue
                found = self._flights.find(text.keys[place])
                assert found is not None, "planned or under way, with no step in between"
                flight, there = found
                part = parts.setdefault((id(text), id(flight)), _Part(text, flight, [], []))
                part.places.append(place)
                part.there.append(there)
        return list(parts.values())

    def _fly(
        self,
        ask: Ask,
        text: _Text,
        places: list[int],
        engine: Engine | None,
        facts: Facts,
        at_once: asyncio.Semaphore,
    ) -> _Part:
        question = ask.question
        engine_id = None if engine is None else engine.id
        labels = [question.labels[place] for place in places]
        keys = [text.keys[place] for place in places] if text.keys and not ask.fresh else []

        async def compute() -> _Computed:
            async with at_once, self._turns.turn(ask.tenant_id, len(places)):
                began, left = time.monotonic(), ask.deadline - asyncio.get_running_loop().time()
                try:
                    answer = await self._replicas.logits(
                        text.text, labels, question.template, question.max_tokens, max(0.001, left), engine_id
                    )
                finally:
                    facts.triton_s += time.monotonic() - began
            values = pack(answer.logits, answer.tokens)
            own_keys = self._keys(ask, text.text, labels, answer.engine)
            await self._cache.put(dict(zip(own_keys, values, strict=True)))
            return _Computed(values, answer.engine)

        flight = self._flights.start(keys, compute(), lambda: self._turns.give_back(ask.tenant_id, len(places)))
        return _Part(text, flight, places, list(range(len(places))))

    async def _fill(self, part: _Part, engines: dict[str, Engine]) -> None:
        computed = await part.flight.result()
        engines[computed.engine.id] = computed.engine
        for place, there in zip(part.places, part.there, strict=True):
            part.text.values[place] = computed.values[there]

    async def _fill_joined(
        self, ask: Ask, part: _Part, engine: Engine | None, engines: dict[str, Engine], facts: Facts
    ) -> None:
        """What another request computes; if that fails it was the other's failure, and we ask for ourselves."""
        try:
            await self._fill(part, engines)
        except (GatewayError, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._take(ask, len(part.places), facts)
            own = self._fly(ask, part.text, part.places, engine, facts, asyncio.Semaphore(1))
            await self._fill(own, engines)

    def _take(self, ask: Ask, pairs: int, facts: Facts) -> None:
        try:
            self._turns.take(ask.tenant_id, pairs, ask.most_in_flight)
        except GatewayError:
            facts.pairs_refused += pairs
            raise
        facts.pairs_computed += pairs
        facts.pairs_cached -= pairs

    @staticmethod
    def _keys(ask: Ask, text: str, labels: Sequence[str], engine: Engine) -> list[bytes]:
        question = ask.question
        return pair_keys(ask.tenant_id, engine.id, question.template, question.max_tokens, text, labels)


async def _all(fills: Sequence[Coroutine[Any, Any, None]], left: Callable[[], Awaitable[None]] | None) -> None:
    """All at once; the first failure ends the others, and so does the asker who leaves."""
    try:
        async with asyncio.TaskGroup() as group:
            filling = [group.create_task(fill) for fill in fills]
            if left is not None and filling:
                watching = group.create_task(_end_when(left))
                await asyncio.wait(filling)
                watching.cancel()
    except ExceptionGroup as errors:
        refusals = errors.subgroup(GatewayError)
        if refusals is None:
            raise
        raise _first(refusals) from None


async def _end_when(left: Callable[[], Awaitable[None]]) -> None:
    await left()
    raise ClientGone


def _first(errors: ExceptionGroup[GatewayError]) -> GatewayError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
