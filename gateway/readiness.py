"""Ready after one real classification; not ready while no Triton answers. A busy Triton stays ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.errors import TritonUnavailable
from gateway.replicas import Replicas
from gateway.triton import Engine, PairLogits, TokenCounts

PROBE_TEXT, PROBE_LABELS = "就绪检查", ("是", "否")
PROBE_TIMEOUT_S = 10.0
RETRY_S = 0.25

log = logging.getLogger(__name__)


class Readiness:
    """Wraps the replicas: every real answer counts as a sign of life, every call that found nobody against it."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._lost = asyncio.Event()
        self._lost.set()
        self.ready = False

    def choose_engine(self) -> Engine | None:
        """The engine for a new question; None while none is certain."""
        return self._replicas.choose_engine()

    async def logits(
        self,
        text: str,
        labels: Sequence[str],
        template: str,
        max_tokens: int | None,
        timeout_s: float,
        engine_id: str | None = None,
    ) -> PairLogits:
        try:
            answer = await self._replicas.logits(text, labels, template, max_tokens, timeout_s, engine_id)
        except TritonUnavailable:
            self.ready = False
            self._lost.set()
            raise
        self.ready = True
        return answer

    async def tokens(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> TokenCounts:
        return await self._replicas.tokens(text, labels, template, max_tokens, timeout_s)

    async def keep(self) -> None:
        """Whenever Triton is lost, probe until it answers again; runs for the life of the process."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    await self.logits(PROBE_TEXT, PROBE_LABELS, "{}", None, PROBE_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - whatever a probe meets, the next one must come
                log.debug("Triton does not answer yet: %r", error)
                self._lost.set()
                await asyncio.sleep(RETRY_S)
