"""Label sets as the gateway reads them: remembered for seconds, and through an outage of the database."""

from __future__ import annotations

from stores.clock import Clock
from stores.label_sets import LabelSet, LabelSetStore, find_label_set, missing
from stores.record_cache import RecordCache

LabelSetCache = RecordCache[tuple[str, str], LabelSet]
"""By tenant and reference: `name` is the newest version, `name@3` that one; `NotFound` for what is not there."""


def label_set_cache(store: LabelSetStore, clock: Clock, ttl_s: float) -> LabelSetCache:
    async def load(key: tuple[str, str]) -> LabelSet:
        # A set that is not found is not remembered: it may be created in the next moment.
        label_set = await find_label_set(store, *key)
        if label_set is None:
            raise missing(key[1])
        return label_set

    return RecordCache(load, clock, ttl_s)
