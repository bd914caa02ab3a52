"""Whole answers, by the body that asked for them.

An answer is given again only while the pair cache of this process has every value that it was made of, and while
its engine, its label set and what its tenant takes special tokens for are the same. So it never outlives its
pairs, and is found by nobody else.
"""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from gateway.cache.tenant_cache import TenantCache
from gateway.classification.pairs import keys_of
from gateway.classification.work import Outcome
from gateway.settings import Settings
from gateway.tenancy.label_sets import LabelSetCache
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import NotFound, StoreUnavailable
from stores.label_sets import LabelSet
from stores.special_tokens import SpecialTokens
from web.authentication import Caller

SHARE = 8
"""Answers take at most one part in so many of the pair cache's memory, beside it."""
MAX_BYTES, MAX_PAIRS = 2_048, 16
"""Of a body and of its answer; and of its pairs."""
ANSWER_BYTES = 8_192
"""Memory of the largest."""
MAX_SEEN = 1_024
"""Bodies among which one has to come again."""


class KnownAnswer(Struct, frozen=True):
    outcome: Outcome
    """Of pairs that were all cached."""
    label_set: str
    """As the body names it; empty where it names none."""
    special_tokens: SpecialTokens
    """The tenant's."""
    keys: list[bytes]
    before_id: bytes
    after_id: bytes
    """The answer as it travels, around the id of the request."""


class KnownAnswers:
    """`cache`: the pairs of this process."""

    def __init__(
        self,
        cache: TenantCache[bytes],
        load_balancer: LoadBalancer,
        label_sets: LabelSetCache,
        settings: Settings,
    ) -> None:
        self._cache, self._load_balancer, self._label_sets = cache, load_balancer, label_sets
        self._seen: set[int] = set()
        """Digests of bodies that came lately."""
        self._answers: TenantCache[KnownAnswer] = TenantCache(
            settings.cache_bytes // SHARE, settings.cache_ttl_s, entry_bytes=ANSWER_BYTES
        )

    async def find(self, body: bytes, caller: Caller) -> KnownAnswer | None:
        (known,) = await self._answers.get(caller.tenant_id, [body])
        if known is None or known.special_tokens != caller.special_tokens:
            return None
        if await self._label_set(caller, known.label_set) is not known.outcome.request.label_set:
            return None
        values, engine = known.outcome.values, self._load_balancer.only_engine
        if engine is None or (engine.id, engine.name) != (values.engine.id, values.engine.name):
            return None
        return known if await self._cache.get(caller.tenant_id, known.keys) == values.values else None

    async def keep(
        self, body: bytes, label_set: str, caller: Caller, outcome: Outcome, answer: tuple[bytes, bytes]
    ) -> None:
        """If all pairs were cached: the first answer to a body tells what was computed for it.

        `label_set` as the body names it; `answer`: around the id of the request.
        """
        values = outcome.values
        is_small = len(values.values) <= MAX_PAIRS and max(len(body), len(answer[0])) <= MAX_BYTES
        if is_small and self._seen_before(body) and not values.computed and values.pairs.truncate:
            keys = keys_of(values.pairs, caller.tenant_id, values.engine)
            known = KnownAnswer(outcome, label_set, caller.special_tokens, keys, *answer)
            await self._answers.put(caller.tenant_id, {body: known})

    def _seen_before(self, body: bytes) -> bool:
        """Whether this body came before; one that comes only once is not worth keeping."""
        digest = hash(body)
        if digest in self._seen:
            return True
        if len(self._seen) == MAX_SEEN:
            self._seen.clear()
        self._seen.add(digest)
        return False

    async def _label_set(self, caller: Caller, name: str) -> LabelSet | None:
        with suppress(NotFound, StoreUnavailable):
            return await self._label_sets.get((caller.tenant_id, name)) if name else None
        return None
