"""A backend without Triton: logits by a rule that a test can foresee."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.errors import NothingToRead
from gateway.triton.backend import Engine, InferenceCall, PairLogits, TokenCounts
from stores.errors import ServiceError

INVISIBLE = "\u200b"
"""A zero-width space."""


@dataclass
class FakeBackend:
    """A `Backend`. Entailment is how many of the label's characters the text contains, contradiction is 0.

    Before an answer `delay_s` passes, and `gate` must be open if there is one; `failure` is raised instead of it,
    `logits_failure` by calls for logits alone. `engine_ids` answer in turn. A character is a token, and only the
    text is truncated. `?` is a token that it does not know, and a text or label of nothing but U+200B has none.
    """

    failure: ServiceError | None = None
    logits_failure: ServiceError | None = None
    delay_s: float = 0.0
    gate: asyncio.Event | None = None
    engine_ids: Sequence[str] = ("engine-1",)
    contract: Mapping[str, object] = field(default_factory=lambda: {"max_tokens": 512})
    calls: list[InferenceCall] = field(default_factory=list)
    """For logits; neither probes nor counts of tokens are among them."""
    timeouts_s: list[float] = field(default_factory=list)
    """What was left to each call when it came."""
    probes: int = 0
    under_way: int = 0
    max_under_way: int = 0

    @property
    def pairs_computed(self) -> int:
        return sum(len(call.labels) for call in self.calls)

    async def logits(self, call: InferenceCall) -> PairLogits:
        _check_readable(call)
        self.calls.append(call)
        self.timeouts_s.append(call.remaining_s())
        engine_id = self.engine_ids[(len(self.calls) - 1) % len(self.engine_ids)]
        self.under_way += 1
        self.max_under_way = max(self.max_under_way, self.under_way)
        try:
            await self._wait()
        finally:
            self.under_way -= 1
        failure = self.logits_failure or self.failure
        if failure is not None:
            raise failure
        hits = [sum(character in call.text for character in label) for label in call.labels]
        logits = np.array([[hit, 0, 0] for hit in hits], dtype=np.float32)
        limit = call.max_tokens or 512
        truncated = max(0, len(call.text) - limit)
        tokens = np.array([[min(len(call.text), limit), truncated, 0]] * len(call.labels), dtype=np.int32)
        return PairLogits(logits, tokens, _unknown(call), Engine(engine_id, "fake"))

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        """Here three tokens of a pair are special."""
        _check_readable(call)
        self.timeouts_s.append(call.remaining_s())
        if self.failure is not None:
            raise self.failure
        limit = call.max_tokens or 512
        lengths = [len(call.text) + len((call.template or "{}").replace("{}", label)) + 3 for label in call.labels]
        pairs = np.array([[min(n, limit), max(0, n - limit), 0] for n in lengths], dtype=np.int32)
        return TokenCounts(limit, len(call.text), pairs, _unknown(call))

    async def engine(self, timeout_s: float) -> Engine:
        if self.failure is not None:
            raise self.failure
        return Engine(self.engine_ids[len(self.calls) % len(self.engine_ids)], "fake", contract=self.contract)

    async def probe(self, timeout_s: float) -> Engine:
        await self._wait()
        self.probes += 1
        return await self.engine(timeout_s)

    async def _wait(self) -> None:
        await asyncio.sleep(self.delay_s)
        if self.gate is not None:
            await self.gate.wait()


def _unknown(call: InferenceCall) -> NDArray[np.float32]:
    return np.array([[_share(call.text), _share(label)] for label in call.labels], dtype=np.float32)


def _share(text: str) -> float:
    return text.count("?") / len(text)


def _check_readable(call: InferenceCall) -> None:
    if not call.text.strip(INVISIBLE):
        raise NothingToRead
    labels = [index for index, label in enumerate(call.labels) if not label.strip(INVISIBLE)]
    if labels:
        raise NothingToRead(labels=labels)
