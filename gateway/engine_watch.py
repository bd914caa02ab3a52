"""Which engine answers at present: what cached pairs are looked up under. Asks again when nothing was heard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.errors import GatewayError
from gateway.triton import Classifier, Engine

CHECK_S = 1.0
"""How often the engine is asked for when no answer has told it."""
CERTAIN_S = 3.0
"""How long an engine that was heard of is taken as the one that answers: so long an old score may be given."""

log = logging.getLogger(__name__)


class EngineWatch:
    """`now` gives seconds that never go back."""

    def __init__(self, classifier: Classifier, now: Callable[[], float]) -> None:
        self._classifier = classifier
        self._now = now
        self._engine: Engine | None = None
        self._heard = float("-inf")

    def current(self) -> Engine | None:
        """None while it is not known: then nothing cached can be used."""
        return self._engine if self._now() - self._heard <= CERTAIN_S else None

    def heard(self, engine: Engine) -> None:
        """An answer told its engine."""
        if self._engine is not None and engine.id != self._engine.id:
            log.info("the engine changed from %s to %s", self._engine.id, engine.id)
        self._engine, self._heard = engine, self._now()

    async def keep(self) -> None:
        """Ask whenever nothing was heard for a while; runs for the life of the process."""
        while True:
            await asyncio.sleep(CHECK_S)
            if self._now() - self._heard < CHECK_S:
                continue
            try:
                self.heard(await self._classifier.engine(CERTAIN_S))
            except GatewayError as error:
                log.debug("the engine is not known: %r", error)
