"""Records of a store, remembered for seconds, so that a request rarely waits for the database.

A record in use is read again in the background once half of its time has passed: a slow database delays nobody who
is known. One that nobody has used for its whole time is read before it is served, so a change acts everywhere
within `ttl_s`. While the store is unavailable, what was known stays in force for `OUTAGE_S`; a store that lets a
known record wait for `MAX_WAIT_S` counts as unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from cachetools import Cache, LRUCache

from stores.clock import Clock
from stores.errors import StoreUnavailable

MAX_RECORDS = 10_000
"""Records remembered; the one longest unused is evicted first."""
MAX_WAIT_S = 1.0
OUTAGE_S = 600.0

_Key = TypeVar("_Key", bound=Hashable)
_Record = TypeVar("_Record")


class _Entry(Generic[_Record]):
    __slots__ = ("loaded_at", "record", "retry_at")

    def __init__(self, record: _Record, loaded_at: datetime) -> None:
        self.record = record
        self.loaded_at = loaded_at
        self.retry_at: datetime | None = None
        """When to ask again a store that failed; None while it answers."""


class _Load(Generic[_Record]):
    """A read under way."""

    __slots__ = ("in_background", "task")

    def __init__(self, task: asyncio.Task[_Record], *, in_background: bool) -> None:
        self.task = task
        self.in_background = in_background
        """Whether the known record is served in the meantime."""


class RecordCache(Generic[_Key, _Record]):
    """What `load` returns for a key. An error of `load` other than `StoreUnavailable` forgets the key."""

    def __init__(
        self,
        load: Callable[[_Key], Awaitable[_Record]],
        clock: Clock,
        ttl_s: float,
        *,
        max_records: int = MAX_RECORDS,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self._load = load
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_wait_s = max_wait_s
        self._entries: LRUCache[_Key, _Entry[_Record]] = LRUCache(max_records)
        self._loads: dict[_Key, _Load[_Record]] = {}

    async def get(self, key: _Key) -> _Record:
        """The record, at most `ttl_s` old unless the store is unavailable."""
        try:
            entry = self._entries[key]
        except KeyError:
            return await asyncio.shield(self._start(key, in_background=False).task)
        now = self._clock.now()
        age_s = (now - entry.loaded_at).total_seconds()
        if 0 <= age_s < self._ttl_s / 2:
            return entry.record
        fresh = 0 <= age_s < self._ttl_s
        if fresh or (age_s <= OUTAGE_S and self._store_is_down(key, entry)):
            if entry.retry_at is None or now >= entry.retry_at:
                self._start(key, in_background=True)
            return entry.record
        load = self._start(key, in_background=False)
        finished, _ = await asyncio.wait({load.task}, timeout=self._max_wait_s)
        if not finished and age_s <= OUTAGE_S:
            load.in_background = True
            return entry.record
        try:
            return await asyncio.shield(load.task)
        except StoreUnavailable:
            if age_s > OUTAGE_S:
                raise
            return entry.record

    def known(self, key: _Key) -> _Record | None:
        """What is remembered, however old; None where nothing is."""
        # Not as `LRUCache` does it: whoever looks does not use the record.
        return Cache.__getitem__(self._entries, key).record if key in self._entries else None

    def forget(self, key: _Key) -> None:
        """Read it again before it is served, also where it is being read at the moment."""
        self._entries.pop(key, None)
        self._loads.pop(key, None)

    def forget_where(self, concerns: Callable[[_Key, _Record | None], bool]) -> None:
        """`forget` each key that `concerns` says yes to, by its record; None: it is read for the first time."""
        for key in {*self._entries, *self._loads}:
            if concerns(key, self.known(key)):
                self.forget(key)

    def clear(self) -> None:
        """Read everything again, what is being read at the moment included."""
        self._entries.clear()
        self._loads.clear()

    def _store_is_down(self, key: _Key, entry: _Entry[_Record]) -> bool:
        """It failed, or it has not answered for so long that nobody waits for it."""
        load = self._loads.get(key)
        return entry.retry_at is not None or (load is not None and load.in_background)

    def _start(self, key: _Key, *, in_background: bool) -> _Load[_Record]:
        """The read of `key` that is under way, or a new one."""
        if key not in self._loads:
            task = asyncio.create_task(self._read(key))
            # Nobody may be waiting for a read in the background: its error is in the entry.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._loads[key] = _Load(task, in_background=in_background)
        return self._loads[key]

    async def _read(self, key: _Key) -> _Record:
        task = asyncio.current_task()
        began_at = self._clock.now()
        try:
            record = await self._load(key)
        except StoreUnavailable:
            if self._finish_load(key, task) and key in self._entries:
                self._entries[key].retry_at = self._clock.now() + timedelta(seconds=self._ttl_s / 2)
            raise
        except BaseException:
            if self._finish_load(key, task):
                self._entries.pop(key, None)
            raise
        if self._finish_load(key, task):
            self._entries[key] = _Entry(record, began_at)
        return record

    def _finish_load(self, key: _Key, task: asyncio.Task[object] | None) -> bool:
        """Whether this read still counts: its key may have been forgotten since it began."""
        load = self._loads.get(key)
        if load is None or load.task is not task:
            return False
        del self._loads[key]
        return True
