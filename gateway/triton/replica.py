"""One replica of Triton: what is under way there, what is known of its engine, and whether it gets work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.errors import TritonFailed, TritonUnavailable
from gateway.triton.backend import Backend, Engine
from gateway.triton.discovery import Address
from stores.errors import ServiceError

MAX_FAILURES = 3
"""Calls in a row that may fail before the replica is ejected."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Replica:
    address: Address
    backend: Backend
    outstanding_pairs: int = 0
    engine: Engine | None = None
    """None while it is ejected: it gets work only when no other replica answers."""
    heard_at: float = float("-inf")
    suspect: bool = False
    """A call has failed there: the next health check is an inference, at once."""
    failures: int = 0
    """In a row."""
    calls: dict[asyncio.Timeout, float] = field(default_factory=dict)
    """Calls under way, and since when; each ends early when the replica is given up."""
    check: asyncio.Task[None] | None = None
    """The health check under way."""

    @property
    def url(self) -> str:
        return self.address.url

    @property
    def load(self) -> float:
        """Pairs under way, by what it can do."""
        return self.outstanding_pairs / self.address.weight

    def answered(self, engine: Engine, now: float) -> None:
        """It may have work again, and this is its engine."""
        if self.engine is not None and engine.id != self.engine.id:
            log.info("the engine at %s changed from %s to %s", self.url, self.engine.id, engine.id)
        if self.engine is None:
            log.info("%s answers, with engine %s", self.url, engine.id)
        if self.engine is None or self.engine.id != engine.id or engine.contract:
            # An answer with logits does not repeat the contract, which a health check was told.
            self.engine = engine
        self.heard_at, self.failures, self.suspect = now, 0, False

    def eject(self, reason: ServiceError) -> None:
        """No work until a health check succeeds."""
        if self.engine is not None:
            log.warning("%s is ejected: %s", self.url, reason)
        self.engine, self.heard_at = None, float("-inf")

    def failed(self, error: TritonUnavailable | TritonFailed) -> None:
        """A call failed: a replica that is gone is ejected, one that answers with an error at `MAX_FAILURES`.

        Once may be the request's fault. A missing model ejects nobody here: the next health check, at once, does.
        """
        self.suspect = True
        if isinstance(error, TritonFailed):
            self.failures += 1
        if self.failures >= MAX_FAILURES or type(error) is TritonUnavailable:
            self.eject(error)

    @asynccontextmanager
    async def carrying(self, pairs: int, now: float) -> AsyncIterator[None]:
        """`pairs` are under way there while the block runs; `TritonUnavailable` when they are given up."""
        self.outstanding_pairs += pairs
        try:
            async with asyncio.timeout(None) as timeout:
                self.calls[timeout] = now
                yield
        except TimeoutError:
            if timeout.expired():
                raise TritonUnavailable("Triton stopped answering") from None
            raise
        finally:
            self.calls.pop(timeout, None)
            self.outstanding_pairs -= pairs

    def give_up_calls(self) -> None:
        """End what is under way, so that it is asked elsewhere."""
        now = asyncio.get_running_loop().time()
        for timeout in self.calls:
            if not timeout.expired():
                timeout.reschedule(now)
