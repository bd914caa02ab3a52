"""How a caller wants its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct


class CallOptions(Struct, frozen=True):
    """From the headers of the request."""

    fresh: bool = False
    """Compute every pair, though it may be cached."""
    timeout_s: float | None = None
    """How long the caller waits, up to the gateway's own deadline."""
    disconnected: Callable[[], Awaitable[None]] | None = None
    """Returns when nobody waits for the answer any more; awaited while something is computed."""


DEFAULT_OPTIONS = CallOptions()
