"""The load balancer over Triton's replicas: two random choices, ejection, health checks, retries."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from gateway.errors import TritonFailed, TritonRejected, TritonUnavailable
from gateway.triton.backend import Backend, Engine, InferenceCall, PairLogits, TokenCounts
from gateway.triton.discovery import Discovery
from gateway.triton.replica import Replica
from gateway.triton.shares import REST, capacity_of, points_of, with_share
from stores.errors import ServiceError
from web.metrics import Durations

CHECK_INTERVAL_S = 1.0
"""How often a replica's health is checked when no answer of it has told."""
CERTAIN_S = 3.0
"""How long an engine that was heard of is taken as loaded: for so long an old score may be given."""
MAX_ATTEMPTS = 3
"""Replicas that are tried for one answer, each once: the next when one is gone, lost or answers with an error.

Logits are a pure function of their inputs, so a retry changes nothing.
"""
RETRY_S = 0.25
"""As long as none is ready."""

_Answer = TypeVar("_Answer")
log = logging.getLogger(__name__)


class LoadBalancer:
    """All replicas that `discovery` names; `connect` makes the client of a URL, `now` never goes back.

    A replica that is silent while a call waits there is probed with an inference; one that answers neither it nor
    another call for `patience_s` is lost. Its calls then go elsewhere if another replica answers: a lone one may
    just be busy, so calls there wait.
    """

    def __init__(
        self,
        discovery: Discovery,
        connect: Callable[[str], Backend],
        now: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        patience_s: float = CERTAIN_S,
    ) -> None:
        self._discovery = discovery
        self._connect = connect
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._patience_s = patience_s
        self._replicas: dict[str, Replica] = {}
        self.ready = False
        """After a real inference; not while no replica answers. A busy Triton stays ready."""
        self.has_shares: bool | None = None
        """Whether a pool tries another model on a share of the requests; None before the first `refresh`."""
        self.call_seconds: dict[str, Durations] = defaultdict(Durations)
        """How long calls take, by pool."""

    @property
    def replicas(self) -> Sequence[Replica]:
        """All that may get work, now or after their ejection."""
        return tuple(self._replicas.values())

    @property
    def capacity(self) -> float:
        """The weights of those that answer; while none does, of the one that has to be tried."""
        answering = [replica for replica in self._replicas.values() if replica.engine is not None]
        weights = capacity_of(answering) if self.has_shares else sum(r.address.weight for r in answering)
        return weights or 1.0

    @property
    def only_engine(self) -> Engine | None:
        """That of every new request; None while none is certain, in a roll-out, and where pools have shares."""
        engines = {replica.engine.id: replica.engine for replica in self._certain() if replica.engine}
        return next(iter(engines.values())) if len(engines) == 1 and not self.has_shares else None

    def choose_engine(self, tenant_id: str = "", text: str = "") -> Engine | None:
        """The engine for a new request: as likely as its replicas' share of work; None while none is certain.

        During a roll-out both engines answer, each request from one of them. Where pools have shares, a tenant's
        text always has the same pool.
        """
        certain: Sequence[Replica] = self._certain()
        if certain and self.has_shares:
            certain = with_share(certain, points_of(tenant_id, text)[0] if text else REST)
        return self._draw(certain).engine if certain else None

    def other_engine(self, engine: Engine) -> Engine | None:
        """One to compare `engine` with."""
        return next((r.engine for r in self._certain() if r.engine and r.engine.id != engine.id), None)

    async def logits(self, call: InferenceCall, engine_id: str | None = None) -> PairLogits:
        """From a replica with the engine `engine_id`, if there is one; `TritonUnavailable` when none answers."""
        began = self._now()
        try:
            answer, replica = await self._try(lambda backend: backend.logits(call), len(call.pairs), engine_id)
        except TritonUnavailable:
            self.ready = False
            raise
        replica.answered(answer.engine, self._now())
        self.call_seconds[replica.address.pool].observe(self._now() - began)
        self.ready = True
        return answer

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        """From any replica."""
        answer, _ = await self._try(lambda backend: backend.count_tokens(call), 0, None)
        return answer

    async def keep_healthy(self) -> None:
        """Follow the addresses and check whoever was not heard of; runs for the life of the process."""
        try:
            while True:
                await self.refresh()
                self.start_checks()
                await asyncio.sleep(CHECK_INTERVAL_S if self.ready else RETRY_S)
        finally:
            for replica in self._replicas.values():
                if replica.check is not None:
                    replica.check.cancel()

    async def refresh(self) -> None:
        """New addresses get work, those that are gone get no more of it; what they have under way goes on."""
        addresses = {address.url: address for address in await self._discovery.all()}
        for url, address in addresses.items():
            if url not in self._replicas:
                self._replicas[url] = Replica(address, self._connect(url))
        for url in self._replicas.keys() - addresses.keys():
            log.info("%s is gone", url)
            del self._replicas[url]
        self.ready = self.ready and bool(addresses)
        self.has_shares = any(address.share is not None for address in addresses.values())

    def start_checks(self) -> list[asyncio.Task[None]]:
        """Start the checks of replicas not heard of for `CHECK_INTERVAL_S`; none waits for another."""
        now = self._now()
        return [
            self._start_check(replica)
            for replica in self._replicas.values()
            if replica.check is None and (replica.suspect or now - replica.heard_at >= CHECK_INTERVAL_S)
        ]

    async def _try(
        self, send: Callable[[Backend], Awaitable[_Answer]], pairs: int, engine_id: str | None
    ) -> tuple[_Answer, Replica]:
        """A replica's answer, and which it was; another is tried when one has no good answer."""
        tried: set[str] = set()
        if self.has_shares is None:
            await self.refresh()
        while True:
            replica = self._pick(engine_id, tried)
            tried.add(replica.url)
            try:
                async with replica.carrying(pairs, self._now()):
                    return await send(replica.backend), replica
            except TritonRejected:
                raise
            except (TritonUnavailable, TritonFailed) as error:
                replica.failed(error)
                if len(tried) == MAX_ATTEMPTS or self._replicas.keys() <= tried:
                    raise await self._blame(replica, error) from None

    async def _blame(self, replica: Replica, error: TritonUnavailable | TritonFailed) -> ServiceError:
        """Whether an error of the last replica was the request's or the replica's, which a health check tells."""
        if isinstance(error, TritonFailed):
            await asyncio.shield(self._start_check(replica))
            if replica.engine is None:
                return TritonUnavailable("Triton fails every request")
        return error

    def _start_check(self, replica: Replica) -> asyncio.Task[None]:
        """The check that is under way, or a new one."""
        if replica.check is None:
            replica.check = asyncio.create_task(self._check(replica))
        return replica.check

    async def _check(self, replica: Replica) -> None:
        """Its engine's name where all seems well, one real inference where something may be wrong."""
        began = self._now()
        waits = any(began - since >= CHECK_INTERVAL_S for since in replica.calls.values())
        in_doubt = replica.engine is None or replica.suspect or waits
        ask = replica.backend.probe if in_doubt else replica.backend.engine
        try:
            async with asyncio.timeout(self._patience_s):
                engine = await ask(self._patience_s)
        except TimeoutError:
            # A probe waits like any call: what was answered meanwhile says as much.
            if replica.heard_at < began:
                replica.eject(TritonUnavailable(f"no answer to a probe within {self._patience_s:g} s"))
        except ServiceError as error:
            replica.eject(error)
        else:
            replica.answered(engine, self._now())
            self.ready = True
        finally:
            replica.check = None
        if replica.engine is None and any(other.engine is not None for other in self._replicas.values()):
            replica.give_up_calls()

    def _pick(self, engine_id: str | None, tried: set[str]) -> Replica:
        """The less busy of two random choices, among those that answer with the engine if there are any.

        Replicas with more weight are drawn more often: among many small replicas and a large one, the large one
        would rarely be one of two that are drawn evenly.
        """
        candidates = [replica for replica in self._replicas.values() if replica.url not in tried]
        if not candidates:
            raise TritonUnavailable("no replica of Triton is known; its address has none")
        answering = [r for r in candidates if r.engine is not None] or candidates
        matching = [r for r in answering if r.engine and r.engine.id == engine_id] or with_share(answering, REST)
        first = self._draw(matching)
        others = [replica for replica in matching if replica is not first]
        second = self._draw(others) if others else first
        return min(first, second, key=lambda replica: replica.load)

    def _certain(self) -> list[Replica]:
        """Those whose engine is known."""
        now = self._now()
        return [r for r in self._replicas.values() if r.engine and now - r.heard_at <= CERTAIN_S]

    def _draw(self, replicas: Sequence[Replica]) -> Replica:
        if len(replicas) == 1:
            return replicas[0]
        return self._rng.choices(replicas, [replica.address.weight for replica in replicas])[0]
