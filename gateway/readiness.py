"""Ready after one real classification; not ready while nobody answers at Triton. A busy Triton stays ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.errors import TritonUnavailable
from gateway.triton import Classifier, Engine, PairLogits

PROBE_TEXT, PROBE_LABELS = "就绪检查", ("是", "否")
PROBE_TIMEOUT_S = 10.0
RETRY_S = 0.25

log = logging.getLogger(__name__)


class Readiness:
    """Wraps a classifier: every real answer counts as a sign of life, every failed connection against it."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._lost = asyncio.Event()
        self._lost.set()
        self.ready = False

    async def logits(
        self, text: str, labels: Sequence[str], template: str, max_tokens: int | None, timeout_s: float
    ) -> PairLogits:
        try:
            answer = await self._classifier.logits(text, labels, template, max_tokens, timeout_s)
        except TritonUnavailable:
            self.ready = False
            self._lost.set()
            raise
        self.ready = True
        return answer

    async def engine(self, timeout_s: float) -> Engine:
        """No sign of life: tokens are made where no engine runs."""
        return await self._classifier.engine(timeout_s)

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
