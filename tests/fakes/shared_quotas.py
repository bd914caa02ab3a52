"""Shared buckets as Redis has them, without Redis: they can be lost, lose an answer, and lose their data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.redis.quotas import MAX_TICK_S
from gateway.tenancy.shared_bucket import WINDOW_S, Grant, LeaseRequest


@dataclass
class FakeRedis:
    """The buckets' own clock stands still while nobody asks for longer than `MAX_TICK_S`."""

    now: Callable[[], float]
    up: bool = True
    clock: float = WINDOW_S
    asked_at: float | None = None
    levels: dict[tuple[str, str, int], tuple[float, float]] = field(default_factory=dict)
    answers: dict[int, Grant] = field(default_factory=dict)
    leases: int = 0
    """How many were asked for."""

    def restart(self) -> None:
        """Without its data, in front of gateways that knew it."""
        self.clock, self.levels, self.answers = 0.0, {}, {}

    def tick(self) -> None:
        passed = self.now() - (self.now() if self.asked_at is None else self.asked_at)
        self.clock += min(MAX_TICK_S, passed)
        self.asked_at = self.now()

    def lease(self, bucket: tuple[str, str, int], request: LeaseRequest) -> Grant:
        self.leases += 1
        self.tick()
        if request.id in self.answers:
            return self.answers[request.id]
        per_minute = bucket[2]
        level, at = self.levels.get(bucket, (0.0, 0.0))
        level = min(per_minute, level + max(0.0, self.clock - at) * per_minute / WINDOW_S)
        refilled = WINDOW_S if request.since is None else max(0.0, self.clock - request.since)
        share = min(per_minute, refilled * per_minute / WINDOW_S) / request.gateways
        level = min(per_minute, level + request.returned)
        level = max(-per_minute, level - request.overdrawn - min(request.share_spent, share))
        amount = max(0.0, min(level, request.wanted)) if level >= request.needed else 0.0
        level -= amount
        self.levels[bucket] = (level, self.clock)
        self.answers[request.id] = Grant(amount, level, self.clock)
        return self.answers[request.id]


@dataclass
class FakeSharedQuotas:
    """One gateway's view of `redis`."""

    redis: FakeRedis
    gateways: int = 1
    connected: bool = True
    loses_answers: int = 0
    """So many leases act, and their answers do not arrive."""
    away_since: float | None = None

    def announce(self) -> None:
        """As each gateway does every second, and at once when Redis is back."""
        if self.redis.up and self.connected:
            self.redis.tick()
            self.away_since = None
        elif self.away_since is None:
            self.away_since = self.redis.now()

    async def lease(self, tenant_id: str, resource: str, per_minute: int, request: LeaseRequest) -> Grant | None:
        if not self.redis.up or not self.connected:
            self.announce()
            return None
        grant = self.redis.lease((tenant_id, resource, per_minute), request)
        if self.loses_answers:
            self.loses_answers -= 1
            self.away_since = self.redis.now() if self.away_since is None else self.away_since
            return None
        self.away_since = None
        return grant
