"""Many Tritons as one: the less busy of two, another when one is gone, ill or silent, one engine for an answer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.addresses import Address, Addresses
from gateway.errors import GatewayError, TritonFailed, TritonUnavailable
from gateway.triton import Classifier, Engine, PairLogits, TokenCounts

CHECK_S = 1.0
"""How often a replica is asked for its engine when no answer of it has told."""
CERTAIN_S = 3.0
"""How long an engine that was heard of is taken as the one there: so long an old score may be given."""
ATTEMPTS = 3
"""Replicas that are asked for one answer, each once: the next when one is gone, is lost or answers nonsense.

Logits are a pure function of their inputs, so asking again changes nothing.
"""
FAILURES = 3
"""Calls in a row that a replica may fail; then it gets no work until a probe succeeds."""

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
    failures: int = 0
    """In a row."""
    calls: dict[asyncio.Timeout, float] = field(default_factory=dict)
    """What is under way, and since when; each ends early when the replica is given up."""
    in_check: bool = False

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
        self.engine, self.heard_at, self.failures = engine, now, 0

    def eject(self, why: GatewayError) -> None:
        """No work until a probe succeeds; `Replicas.check` sends one every `CHECK_S`."""
        if self.engine is not None:
            log.warning("%s gets no work: %s", self.url, why)
        self.engine, self.heard_at = None, float("-inf")

    def failed(self, why: TritonFailed) -> None:
        """It answered nonsense or an error: once may be the question's fault, `FAILURES` times are its own."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.eject(why)

    @asynccontextmanager
    async def carrying(self, pairs: int, now: float) -> AsyncIterator[None]:
        """`pairs` are under way there while the block runs; `TritonUnavailable` when they are given up."""
        self.outstanding_pairs += pairs
        try:
            async with asyncio.timeout(None) as patience:
                self.calls[patience] = now
                yield
        except TimeoutError:
            if patience.expired():
                raise TritonUnavailable("Triton stopped answering") from None
            raise
        finally:
            self.calls.pop(patience, None)
            self.outstanding_pairs -= pairs

    def give_up(self) -> None:
        """End what is under way, so that it is asked elsewhere."""
        now = asyncio.get_running_loop().time()
        for patience in self.calls:
            patience.reschedule(now)


class Replicas:
    """All that `addresses` names; `open_replica` makes the client of a URL, `now` never goes back.

    A replica that is silent while a call waits there is probed with an inference that goes before all others; one
    that leaves it unanswered for `patience_s` is lost. Its calls then go elsewhere, if anybody else stands: a lone
    replica may just be busy, so calls there wait until their own deadline.
    """

    def __init__(
        self,
        addresses: Addresses,
        open_replica: Callable[[str], Classifier],
        now: Callable[[], float],
        rng: random.Random | None = None,
        patience_s: float = CERTAIN_S,
    ) -> None:
        self._addresses = addresses
        self._open = open_replica
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._patience_s = patience_s
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
        """What a replica answers to `call`, and which it was; another is asked when one has no good answer."""
        end = self._now() + timeout_s
        tried: set[str] = set()
        if not self._replicas:
            await self.refresh()
        while True:
            replica = self._pick(engine_id, tried)
            tried.add(replica.url)
            try:
                async with replica.carrying(pairs, self._now()):
                    return await call(replica.triton, max(0.001, end - self._now())), replica
            except TritonUnavailable as error:
                replica.eject(error)
                if self._was_last(tried):
                    raise
            except TritonFailed as error:
                replica.failed(error)
                if self._was_last(tried):
                    raise

    def _was_last(self, tried: set[str]) -> bool:
        return len(tried) == ATTEMPTS or self._replicas.keys() <= tried

    async def keep(self) -> None:
        """Follow the addresses and ask whoever was not heard of; runs for the life of the process."""
        async with asyncio.TaskGroup() as checks:
            while True:
                await self.refresh()
                for replica in self._quiet():
                    # On its own: who is silent does not keep the others from being heard.
                    checks.create_task(self._check(replica))
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
        """Ask every replica that was not heard of for `CHECK_S`, all at once."""
        await asyncio.gather(*(self._check(replica) for replica in self._quiet()))

    def _quiet(self) -> list[Replica]:
        now = self._now()
        return [r for r in self._replicas.values() if now - r.heard_at >= CHECK_S and not r.in_check]

    async def _check(self, replica: Replica) -> None:
        """Its engine's name where nothing is amiss, one real inference where something may be."""
        waits = any(self._now() - since >= CHECK_S for since in replica.calls.values())
        amiss = replica.engine is None or waits
        ask = replica.triton.probe if amiss else replica.triton.engine
        replica.in_check = True
        try:
            async with asyncio.timeout(self._patience_s):
                engine = await ask(self._patience_s)
        except TimeoutError:
            replica.eject(TritonUnavailable(f"no answer to a probe within {self._patience_s:g} s"))
        except GatewayError as error:
            replica.eject(error)
        else:
            replica.heard(engine, self._now())
        finally:
            replica.in_check = False
        if replica.engine is None and any(other.engine is not None for other in self._replicas.values()):
            replica.give_up()

    def _pick(self, engine_id: str | None, tried: set[str]) -> Replica:
        """Of two at random the one with less to do; of those that answer with the engine, if there are.

        The weightier are drawn more often: of many small replicas and one large one the large one is rarely among
        two that are drawn alike.
        """
        candidates = [r for r in self._replicas.values() if r.url not in tried]
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
