"""Levels of budgets: what is used of each in this month, as this process knows it and as gateways share it.

A level is never below what the database knows as used, and a Redis that has lost its data hears from each gateway
what that had heard of it: neither a restart nor such a Redis gives anything twice. A gateway that has lost Redis
goes on by what it knows, and takes at most an equal part of `AHEAD` beyond what it heard last from Redis or the
database.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from itertools import islice
from typing import NamedTuple, Protocol

from cachetools import LRUCache
from msgspec import Struct, structs

from stores.alerts import AlertStore
from stores.budgets import HARD, SHADOW, TOLD_SHARE, BudgetStatus, Limit, Used, month_of, next_month
from stores.clock import Clock
from stores.errors import BudgetExceeded, StoreUnavailable
from stores.record_cache import RecordCache
from stores.usage import UsageStore

USED_TTL_S = 5.0
"""How long what the database knows is trusted."""
AHEAD = 0.01
"""Share of a hard budget that all gateways together take while Redis is away, until the database knows of it."""
MAX_LEVELS = 20_000
"""Levels remembered; the one longest unused is evicted first, and read again from the database."""
MAX_SENT = 1_000
"""Levels that Redis is told of together."""
NO_BOUND = -1


class Heard(Struct, frozen=True):
    """A shared level as it was at an answer."""

    level: int = 0
    generation: str = ""
    """Another one: the shared level has begun anew since, from what gateways had heard."""


NOTHING_HEARD = Heard()


class Step(Struct, frozen=True):
    """A change of one level."""

    name: str
    known: int
    """What the database knows as used."""
    heard: Heard
    """At the last answer; counts where the shared level has begun anew since."""
    unsent: int
    """What was taken without the shared level, less what was given back."""
    amount: int = 0
    bound: int = NO_BOUND
    """All amounts are taken, or none where one of them exceeds its bound."""


class _Take(NamedTuple):
    """What a request takes of one limit."""

    limit: Limit
    name: str
    known: int
    amount: int

    @property
    def step(self) -> tuple[str, int, int, int]:
        bound = self.limit.amount if self.limit.enforcement == HARD else NO_BOUND
        return self.name, self.known, self.amount, bound


class SharedLevels(Protocol):
    """Where gateways share levels."""

    @property
    def gateways(self) -> int:
        """How many share them."""
        ...

    async def count(self, steps: Sequence[Step]) -> Sequence[Heard] | None:
        """The levels before the amounts; None when there is no answer."""
        ...


class BudgetLevels:
    """`alerts`: where it is kept that a hard budget refuses; None: nowhere."""

    def __init__(
        self,
        usage: UsageStore,
        clock: Clock,
        shared: SharedLevels | None = None,
        alerts: AlertStore | None = None,
    ) -> None:
        self._alerts = alerts
        self._alerted: LRUCache[tuple[str, int], asyncio.Task[None]] = LRUCache(MAX_LEVELS)
        """By level and limit: kept once."""
        self._clock = clock
        self._shared = shared
        self._used: RecordCache[tuple[str, str, date], Used] = RecordCache(
            lambda key: usage.used(*key), clock, USED_TTL_S
        )
        self._levels: LRUCache[str, int] = LRUCache(MAX_LEVELS)
        self._heard: LRUCache[str, Heard] = LRUCache(MAX_LEVELS)
        """The shared levels at the last answer, with what was taken by it."""
        self._unsent: Counter[str] = Counter()
        self.exceeded: Counter[str] = Counter()
        """Requests beyond a limit, by its enforcement."""

    @property
    def month(self) -> date:
        """The first day of the current one."""
        return month_of(self._clock.now())

    async def take(self, limits: Sequence[Limit], amounts: Used, month: date | None = None) -> None:
        """Count what a request may use at most, before it does; in this month, unless another one is given.

        `BudgetExceeded` where a hard budget has less, `StoreUnavailable` where it cannot be counted at the moment;
        nothing is taken then. What takes nothing asks nobody.
        """
        limits = [limit for limit in limits if amounts.of(limit.resource)]
        if not limits:
            return
        month = month or self.month
        used = [await self._used.get((limit.tenant_id, limit.key_id, month)) for limit in limits]
        takes = [
            _Take(limit, limit.level(month), use.of(limit.resource), amounts.of(limit.resource))
            for limit, use in zip(limits, used, strict=True)
        ]
        ahead = None
        if self._shared is not None:
            heard = await self._count(self._shared, [self._step(*take.step) for take in takes])
            if heard is None:
                ahead = AHEAD / self._shared.gateways
            else:
                self._levels.update({take.name: each.level for take, each in zip(takes, heard, strict=True)})
        for take in takes:
            self._levels[take.name] = max(self._levels.get(take.name, 0), take.known)
        self._check(takes, month, ahead)
        for take in takes:
            self._levels[take.name] += take.amount
            if ahead is not None:
                self._unsent[take.name] += take.amount
            elif self._shared is not None:
                before = self._heard[take.name]
                self._heard[take.name] = structs.replace(before, level=before.level + take.amount)

    def give_back(self, limits: Sequence[Limit], amounts: Used, month: date) -> None:
        """What was taken in `month` and not used; less than nothing where more was used than taken."""
        for limit in limits:
            name, amount = limit.level(month), amounts.of(limit.resource)
            if amount:
                self._levels[name] = self._levels.get(name, 0) - amount
                if self._shared is not None:
                    self._unsent[name] -= amount

    def status(self, limits: Sequence[Limit]) -> tuple[BudgetStatus, ...]:
        """Of limits of which `TOLD_SHARE` is used; callers are not told of shadow budgets."""
        if not limits:
            return ()
        month = self.month
        levels = [(limit, self._levels.get(limit.level(month), 0)) for limit in limits]
        return tuple(
            BudgetStatus(limit.owner, limit.resource, limit.amount, level, next_month(month))
            for limit, level in levels
            if limit.enforcement != SHADOW and level >= TOLD_SHARE * limit.amount
        )

    async def send(self) -> None:
        """Tell the shared levels what they have not been told with a request."""
        if self._shared is not None and self._unsent:
            await self._count(self._shared, [self._step(name) for name in list(islice(self._unsent, MAX_SENT))])

    async def _count(self, shared: SharedLevels, steps: Sequence[Step]) -> Sequence[Heard] | None:
        for step in steps:
            self._unsent.pop(step.name, None)
        heard: Sequence[Heard] | None = None
        try:
            heard = await shared.count(steps)
        finally:
            # Also where the request was cancelled meanwhile.
            if heard is None:
                self._unsent.update({step.name: step.unsent for step in steps if step.unsent})
        if heard is not None:
            self._heard.update({step.name: each for step, each in zip(steps, heard, strict=True)})
        return heard

    def _step(self, name: str, known: int = 0, amount: int = 0, bound: int = NO_BOUND) -> Step:
        return Step(name, known, self._heard.get(name, NOTHING_HEARD), self._unsent.get(name, 0), amount, bound)

    def _check(self, takes: Sequence[_Take], month: date, ahead: float | None) -> None:
        """`ahead`: share of a budget that may be taken beyond what was heard last; None: it was heard just now."""
        exceeded = [take for take in takes if self._levels[take.name] + take.amount > take.limit.amount]
        self.exceeded.update(take.limit.enforcement for take in exceeded)
        for take in exceeded:
            if take.limit.enforcement == HARD:
                self._alert(take, month)
                raise _refusal(take.limit, self._levels[take.name], take.amount, month, self._clock.now())
        if ahead is None:
            return
        for take in takes:
            heard = max(self._heard.get(take.name, NOTHING_HEARD).level, take.known)
            used = self._levels[take.name] + take.amount
            if take.limit.enforcement == HARD and used > heard + ahead * take.limit.amount:
                raise StoreUnavailable(
                    f"the {take.limit.owner}'s budget cannot be counted while Redis does not answer; try again"
                )

    def _alert(self, take: _Take, month: date) -> None:
        """A hard budget rarely ends at 100%: what is left is less than a request needs."""
        used, key, now = self._levels[take.name], (take.name, take.limit.amount), self._clock.now()
        if self._alerts is not None and key not in self._alerted and used >= TOLD_SHARE * take.limit.amount:
            keeping = asyncio.create_task(self._alerts.refused(take.limit, month, used, now))
            self._alerted[key] = keeping
            keeping.add_done_callback(lambda kept: self._forget_failed(key, kept))

    def _forget_failed(self, key: tuple[str, int], kept: asyncio.Task[None]) -> None:
        """The next refusal keeps it."""
        if kept.cancelled() or kept.exception() is not None:
            self._alerted.pop(key, None)


class Reservation:
    """What one request has taken of its limits, in the month in which it began."""

    def __init__(self, levels: BudgetLevels, limits: Sequence[Limit]) -> None:
        self._levels, self._limits = levels, limits
        self._taken = Used()
        self._month: date | None = None
        self._extending = asyncio.Lock()
        """Parts of a request that extend it at once would each take what the others take."""

    async def extend(self, most: Used) -> None:
        """Take what it lacks of `most`; raises as `BudgetLevels.take` does."""
        async with self._extending:
            taken = Used(max(self._taken.pairs, most.pairs), max(self._taken.tokens, most.tokens))
            self._month = self._month or self._levels.month
            await self._levels.take(self._limits, taken - self._taken, self._month)
            self._taken = taken

    def end(self, used: Used) -> None:
        """Give back what was not `used`."""
        if self._month is not None:
            self._levels.give_back(self._limits, self._taken - used, self._month)
            self._taken = used


def _refusal(limit: Limit, level: int, amount: int, month: date, now: datetime) -> BudgetExceeded:
    renewed_at = next_month(month)
    detail = (
        f"the {limit.owner}'s budget is {limit.amount} {limit.resource} a month, and "
        f"{max(0, limit.amount - level)} are left; the request needs up to {amount}"
    )
    if amount > limit.amount:
        return BudgetExceeded(detail, None)
    wait_s = max(1, math.ceil((renewed_at - now).total_seconds()))
    return BudgetExceeded(f"{detail}; the budget is renewed at {renewed_at:%Y-%m-%dT%H:%M:%SZ}", wait_s)
