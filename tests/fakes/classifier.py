"""A classifier without Triton: logits by a rule that a test can foresee."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.errors import GatewayError
from gateway.triton import Engine, PairLogits, TokenCounts


@dataclass
class FakeClassifier:
    """Entailment is the number of the label's characters that the text contains; contradiction is 0.

    `failure` is raised instead of an answer, `delay_s` passes before it, `engine_ids` are given out in turn,
    texts longer than `max_tokens` count as cut.
    """

    failure: GatewayError | None = None
    delay_s: float = 0.0
    engine_ids: Sequence[str] = ("engine-1",)
    calls: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    timeouts_s: list[float] = field(default_factory=list)
    probes: int = 0
    under_way: int = 0
    most_under_way: int = 0

    async def logits(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> PairLogits:
        self.calls.append((text, tuple(labels)))
        self.timeouts_s.append(timeout_s)
        engine_id = self.engine_ids[(len(self.calls) - 1) % len(self.engine_ids)]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.under_way -= 1
        if self.failure is not None:
            raise self.failure
        hits = [sum(character in text for character in label) for label in labels]
        logits = np.array([[hit, 0, 0] for hit in hits], dtype=np.float32)
        limit = max_tokens or 512
        cut = max(0, len(text) - limit)
        tokens = np.array([[min(len(text), limit), cut, 0]] * len(labels), dtype=np.int32)
        return PairLogits(logits, tokens, Engine(engine_id, "fake"))

    async def tokens(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> TokenCounts:
        """A character is a token, three are special; only the text is cut."""
        if self.failure is not None:
            raise self.failure
        limit = max_tokens or 512
        lengths = [len(text) + len(template.replace("{}", label)) + 3 for label in labels]
        pairs = np.array([[min(n, limit), max(0, n - limit), 0] for n in lengths], dtype=np.int32)
        return TokenCounts(limit, len(text), pairs)

    async def probe(self, timeout_s: float) -> Engine:
        """An inference; not among `calls`."""
        await asyncio.sleep(self.delay_s)
        self.probes += 1
        return await self.engine(timeout_s)

    async def engine(self, timeout_s: float) -> Engine:
        if self.failure is not None:
            raise self.failure
        return Engine(self.engine_ids[len(self.calls) % len(self.engine_ids)], "fake")
