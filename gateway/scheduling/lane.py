"""What waits in the fair queue, and what is at Triton, of one priority."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter
from collections.abc import Container, Coroutine, Hashable
from typing import Any, NamedTuple, TypeVar

from web.background import start_shared

MAX_TENANTS = 1_000
"""Tenants whose virtual time is remembered; the one that asked longest ago starts anew."""
CREDIT_S = 2.0
"""Unused share that a tenant may catch up on, in seconds of its share."""


class Load(NamedTuple):
    """What a call asks of the engine."""

    pairs: int
    tokens: int
    """As the engine pads them: what is shared out, for pairs differ a hundredfold."""

    def __add__(self, other: Load) -> Load:  # type: ignore[override]
        return Load(self.pairs + other.pairs, self.tokens + other.tokens)

    def __sub__(self, other: Load) -> Load:
        return Load(self.pairs - other.pairs, self.tokens - other.tokens)


NO_LOAD = Load(0, 0)
_Answer = TypeVar("_Answer")


class Grant:
    """What was granted together and goes to Triton as one call."""

    def __init__(self, group: Hashable | None) -> None:
        self.group = group
        self.load = NO_LOAD
        self.tenants: set[str] = set()
        self.members = 0
        """Calls that have not ended."""
        self.at_triton: asyncio.Future[Any] | None = None
        """The merged call, once it is sent."""

    def send(self, call: Coroutine[Any, Any, _Answer]) -> asyncio.Task[_Answer]:
        """Begin the merged call, which goes on though all members end: Triton cannot take it back."""
        self.at_triton = sent = start_shared(call)
        return sent

    def fits(self, load: Load, max_call: Load) -> bool:
        total = self.load + load
        return total.pairs <= max_call.pairs and total.tokens <= max_call.tokens


class Waiting(NamedTuple):
    """A call in the queue; compared by the first two."""

    start: float
    """In virtual time."""
    order: int
    """Of arrival."""
    tenant_id: str
    load: Load
    group: Hashable | None
    granted: asyncio.Future[Grant]


class Lane:
    """Calls of one priority."""

    def __init__(self, credit_s: float = 0.0) -> None:
        self._credit_s = credit_s
        self.in_flight = NO_LOAD
        self.at_triton = NO_LOAD
        self.of_tenant: dict[str, Load] = {}
        """What each tenant has in flight."""
        self.virtual_time = 0.0
        self.finish_times: dict[str, float] = {}
        """Virtual time at which all that a tenant has asked for so far would be done; who asked last is last."""
        self.waiting: dict[Hashable | None, list[Waiting]] = {}
        """A heap of each group."""
        self.grants: Counter[Hashable] = Counter()
        """Merged calls at Triton, by group."""
        self.tenants_at_triton: Counter[str] = Counter()
        """The same, by tenant."""

    def schedule(self, tenant_id: str, tokens: int, tokens_per_s: float) -> float:
        """The virtual time at which the tenant's next call starts: in the past if it has used less than its share.

        `tokens_per_s`: the throughput that all tenants in flight share equally; infinite while it is unknown, when
        nobody has credit. A tenant that is not remembered has none either, so a new name gains nothing.
        """
        share_per_s = tokens_per_s / max(1, len(self.of_tenant)) if math.isfinite(tokens_per_s) else 0.0
        credit = self._credit_s * share_per_s
        start = max(self.virtual_time - credit, self.finish_times.pop(tenant_id, self.virtual_time))
        self.finish_times[tenant_id] = start + tokens
        if len(self.finish_times) > MAX_TENANTS:
            del self.finish_times[next(iter(self.finish_times))]
        return start

    def correct(self, tenant_id: str, tokens: int) -> None:
        """A call of the tenant had `tokens` more than were estimated, or fewer: its next start so much later.

        Whoever is not known any more has no share that it would count against.
        """
        if tenant_id in self.finish_times:
            self.finish_times[tenant_id] += tokens

    def first(self, passed_over: Container[Hashable | None]) -> Waiting | None:
        """The call that starts first, of the groups that are not passed over."""
        first: Waiting | None = None
        for group, heap in [*self.waiting.items()]:
            while heap and heap[0].granted.cancelled():
                heapq.heappop(heap)
            if not heap:
                del self.waiting[group]
            elif group not in passed_over and (first is None or heap[0] < first):
                first = heap[0]
        return first
