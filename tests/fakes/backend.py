"""A backend without Triton: logits by a rule that a test can foresee."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.errors import DeadlineExceeded, NothingToRead
from gateway.triton.backend import Engine, InferenceCall, Pair, PairLogits, TokenCounts
from stores.errors import ServiceError

REPLICA = "http://replica:8000"
INVISIBLE = "\u200b"
"""A zero-width space."""


def inference_call(
    text: str, labels: Sequence[str], *, in_s: float = 1.0, max_tokens: int | None = None
) -> InferenceCall:
    """One text with some labels; `in_s`: its timeout."""
    pairs = [Pair(text, label, "{}", max_tokens) for label in labels]
    return InferenceCall(pairs, in_s)


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
    counted: list[InferenceCall] = field(default_factory=list)
    """Those that counted tokens."""
    timeouts_s: list[float] = field(default_factory=list)
    """Of each call."""
    probes: int = 0
    under_way: int = 0
    max_under_way: int = 0

    @property
    def pairs_computed(self) -> int:
        return sum(len(call.pairs) for call in self.calls)

    async def logits(self, call: InferenceCall) -> PairLogits:
        self.calls.append(call)
        self.timeouts_s.append(call.timeout_s)
        engine_id = self.engine_ids[(len(self.calls) - 1) % len(self.engine_ids)]
        self.under_way += 1
        self.max_under_way = max(self.max_under_way, self.under_way)
        try:
            async with asyncio.timeout(call.timeout_s):
                await self._wait()
        except TimeoutError:
            raise DeadlineExceeded("Triton did not answer in time") from None
        finally:
            self.under_way -= 1
        failure = self.logits_failure or self.failure
        if failure is not None:
            raise failure
        hits = [sum(character in pair.text for character in pair.label) for pair in call.pairs]
        logits = np.array([[hit, 0, 0] for hit in hits], dtype=np.float32)
        limits = [pair.max_tokens or 512 for pair in call.pairs]
        lengths = [len(pair.text) for pair in call.pairs]
        tokens = np.array(
            [[min(n, limit), max(0, n - limit), 0] for n, limit in zip(lengths, limits, strict=True)],
            dtype=np.int32,
        )
        return PairLogits(logits, tokens, _unknown(call), Engine(engine_id, "fake"), _refused(call), REPLICA)

    async def count_tokens(self, call: InferenceCall) -> TokenCounts:
        """Here three tokens of a pair are special."""
        self.counted.append(call)
        self.timeouts_s.append(call.timeout_s)
        if self.failure is not None:
            raise self.failure
        limit = call.pairs[0].max_tokens or 512
        lengths = [
            len(pair.text) + len((pair.template or "{}").replace("{}", pair.label)) + 3 for pair in call.pairs
        ]
        pairs = np.array([[min(n, limit), max(0, n - limit), 0] for n in lengths], dtype=np.int32)
        return TokenCounts(limit, len(call.pairs[0].text), pairs, _unknown(call), _refused(call))

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
    return np.array([[_share(pair.text), _share(pair.label)] for pair in call.pairs], dtype=np.float32)


def _share(text: str) -> float:
    return text.count("?") / len(text)


def _refused(call: InferenceCall) -> dict[int, ServiceError]:
    return {
        index: NothingToRead(of_label=bool(pair.text.strip(INVISIBLE)))
        for index, pair in enumerate(call.pairs)
        if not (pair.text.strip(INVISIBLE) and pair.label.strip(INVISIBLE))
    }
