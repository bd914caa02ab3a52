"""Single flight: what is being computed is not computed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from web.background import start_shared

_Result = TypeVar("_Result")


class Flight(Generic[_Result]):
    """A computation under way; it is cancelled when nobody waits for it any more."""

    def __init__(self, computation: Coroutine[Any, Any, _Result], on_end: Callable[[], None]) -> None:
        self._waiters = 0
        self._task = start_shared(computation)
        self._task.add_done_callback(lambda _: on_end())

    @property
    def is_ending(self) -> bool:
        """Done, or cancelled because nobody waits: too late to join."""
        return self._task.done() or self._task.cancelling() > 0

    async def result(self) -> _Result:
        """Raises what the computation raised. A waiter that is cancelled leaves the others waiting."""
        self._waiters += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiters -= 1
            if self._waiters == 0 and not self._task.done():
                self._task.cancel()
                # Whoever was the last to wait is answered when the work has ended.
                await asyncio.wait([self._task])


class SingleFlight(Generic[_Result]):
    """Which flight computes which key, and at which index of its result."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, tuple[Flight[_Result], int]] = {}

    def find(self, key: bytes) -> tuple[Flight[_Result], int] | None:
        """The flight that can be joined for `key`."""
        under_way = self._by_key.get(key)
        return None if under_way is None or under_way[0].is_ending else under_way

    def start(
        self, keys: Sequence[bytes], computation: Coroutine[Any, Any, _Result], on_end: Callable[[], None]
    ) -> Flight[_Result]:
        """A flight for `keys` (none, if others should not join); `on_end` is called once, however it ends."""

        def end() -> None:
            for key in keys:
                if self._by_key.get(key, (None,))[0] is flight:
                    del self._by_key[key]
            on_end()

        flight = Flight(computation, end)
        self._by_key |= {key: (flight, index) for index, key in enumerate(keys)}
        return flight
