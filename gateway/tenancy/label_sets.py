"""Label sets as the gateway reads them: remembered for seconds, and through an outage of the database."""

from __future__ import annotations

from stores.clock import Clock
from stores.errors import NotFound
from stores.label_sets import LabelSet, LabelSetStore, find_label_set
from stores.record_cache import RecordCache


class LabelSetReader:
    def __init__(self, store: LabelSetStore, clock: Clock, ttl_s: float) -> None:
        self._store = store
        self._records: RecordCache[tuple[str, str], LabelSet] = RecordCache(self._load, clock, ttl_s)

    async def get(self, tenant_id: str, reference: str) -> LabelSet:
        """`name` is the newest version, `name@3` that one; `NotFound` for what the tenant does not have."""
        return await self._records.get((tenant_id, reference))

    def forget(self) -> None:
        """Read every label set again: one has changed."""
        self._records.clear()

    async def _load(self, key: tuple[str, str]) -> LabelSet:
        # A set that is not found is not remembered: it may be created in the next moment.
        label_set = await find_label_set(self._store, *key)
        if label_set is None:
            raise NotFound("no such label set")
        return label_set
