"""Many Tritons as one: the less busy of two, another when one is gone, and one engine for an answer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.addresses import Address, Addresses
from gateway.errors import GatewayError, TritonUnavailable
from gateway.triton import Classifier, Engine, PairLogits, TokenCounts

CHECK_S = 1.0
"""How often a replica is asked for its engine when no answer of it has told."""
CERTAIN_S = 3.0
"""How long an engine that was heard of is taken as the one there: so long an old score may be given."""
ATTEMPTS = 2
"""A call that found nobody is tried once more, elsewhere. Never one that may still be running."""

_Answer = TypeVar("_Answer")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Replica:
    """One Triton, what is under way there, and what was heard of it."""

    address: Address
    triton: Classifier
    outstanding_pairs: int = 0
    engine: Engine | None = None
    """None while it is not known to answer: it then gets work only if nobody else does better."""
    heard_at: float = float("-inf")

    @property
    def url(self) -> str:
        return self.address.url

    @property
    def load(self) -> float:
        """Pairs under way by what it can do."""
        return self.outstanding_pairs / self.address.weight

    def heard(self, engine: Engine, now: float) -> None:
        """It answered: it may have work again, and this is its engine."""
        if self.engine is not None and engine.id != self.engine.id:
            log.info("the engine at %s changed from %s to %s", self.url, self.engine.id, engine.id)
        if self.engine is None:
            log.info("%s answers, with engine %s", self.url, engine.id)
        self.engine, self.heard_at = engine, now

    def eject(self) -> None:
        """No work until it answers again; `Replicas.check` asks every `CHECK_S`."""
        if self.engine is not None:
            log.warning("%s does not answer", self.url)
        self.engine, self.heard_at = None, float("-inf")


class Replicas:
    """All that `addresses` names; `open_replica` makes the client of a URL, `now` never goes back."""

    def __init__(
        self,
        addresses: Addresses,
        open_replica: Callable[[str], Classifier],
        now: Callable[[], float],
        rng: random.Random | None = None,
    ) -> None:
        self._addresses = addresses
        self._open = open_replica
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._replicas: dict[str, Replica] = {}

    @property
    def known(self) -> Sequence[Replica]:
        """All replicas that may get work, now or after their ejection."""
        return tuple(self._replicas.values())

    @property
    def capacity(self) -> float:
        """The weights of those that answer; while nobody does, of the one that has to be tried."""
        weights = [replica.address.weight for replica in self._replicas.values() if replica.engine is not None]
        return sum(weights) or 1.0

    def choose_engine(self) -> Engine | None:
        """The engine for a new question: as likely as its replicas' share of work; None while none is certain.

        In a roll-out both engines answer, each question from one of them.
        """
        now = self._now()
        certain = [r for r in self._replicas.values() if r.engine and now - r.heard_at <= CERTAIN_S]
        return self._one_of(certain).engine if certain else None

    async def logits(
        self,
        text: str,
        labels: Sequence[str],
        template: str,
        max_tokens: int | None,
        timeout_s: float,
        engine_id: str | None = None,
    ) -> PairLogits:
        """From a replica with the engine `engine_id`, if there is one; `TritonUnavailable` when nobody answers."""

        def call(triton: Classifier, left: float) -> Awaitable[PairLogits]:
            return triton.logits(text, labels, template, max_tokens, left)

        answer, replica = await self._ask(call, len(labels), timeout_s, engine_id)
        replica.heard(answer.engine, self._now())
        return answer

    async def tokens(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> TokenCounts:
        """From any replica."""

        def call(triton: Classifier, left: float) -> Awaitable[TokenCounts]:
            return triton.tokens(text, labels, template, max_tokens, left)

        return (await self._ask(call, 0, timeout_s, None))[0]

    async def _ask(
        self,
        call: Callable[[Classifier, float], Awaitable[_Answer]],
        pairs: int,
        timeout_s: float,
        engine_id: str | None,
    ) -> tuple[_Answer, Replica]:
        """What a replica answers to `call`, and which it was; tried once more elsewhere if it found nobody."""
        end = self._now() + timeout_s
        tried: set[str] = set()
        for attempt in range(ATTEMPTS):
            if not self._replicas:
                await self.refresh()
            replica = self._pick(engine_id, tried)
            tried.add(replica.url)
            replica.outstanding_pairs += pairs
            try:
                return await call(replica.triton, max(0.001, end - self._now())), replica
            except TritonUnavailable:
                replica.eject()
                if attempt + 1 == ATTEMPTS or len(self._replicas) == 1:
                    raise
            finally:
                replica.outstanding_pairs -= pairs
        raise AssertionError("the last attempt returns or raises")

    async def keep(self) -> None:
        """Follow the addresses and ask whoever was not heard of; runs for the life of the process."""
        while True:
            await self.refresh()
            await self.check()
            await asyncio.sleep(CHECK_S)

    async def refresh(self) -> None:
        """New addresses get work, those that are gone get no more of it; what they have under way goes on."""
        addresses = {address.url: address for address in await self._addresses.all()}
        for url, address in addresses.items():
            if url not in self._replicas:
                self._replicas[url] = Replica(address, self._open(url))
        for url in self._replicas.keys() - addresses.keys():
            log.info("%s is gone", url)
            del self._replicas[url]

    async def check(self) -> None:
        """Ask every replica that was not heard of for `CHECK_S` for its engine, all at once."""
        quiet = [r for r in self._replicas.values() if self._now() - r.heard_at >= CHECK_S]
        await asyncio.gather(*(self._check(replica) for replica in quiet))

    async def _check(self, replica: Replica) -> None:
        try:
            replica.heard(await replica.triton.engine(CERTAIN_S), self._now())
        except GatewayError:
            replica.eject()

    def _pick(self, engine_id: str | None, tried: set[str]) -> Replica:
        """Of two at random the one with less to do; of those that answer with the engine, if there are.

        The weightier are drawn more often: of many small replicas and one large one the large one is rarely among
        two that are drawn alike.
        """
        candidates = [r for r in self._replicas.values() if r.url not in tried] or list(self._replicas.values())
        if not candidates:
            raise TritonUnavailable("no replica of Triton is known; its address has none")
        standing = [r for r in candidates if r.engine is not None] or candidates
        alike = [r for r in standing if engine_id is None or (r.engine and r.engine.id == engine_id)] or standing
        first = self._one_of(alike)
        others = [replica for replica in alike if replica is not first]
        second = self._one_of(others) if others else first
        return min(first, second, key=lambda replica: replica.load)

    def _one_of(self, replicas: Sequence[Replica]) -> Replica:
        return self._rng.choices(replicas, [replica.address.weight for replica in replicas])[0]
