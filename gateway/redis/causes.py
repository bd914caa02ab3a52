"""Why Redis cannot be used, by the types that its client has for Redis' own codes."""

from __future__ import annotations

from redis import exceptions

from web.connection_causes import connection_cause

ANSWERS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.AuthenticationError, "Redis refuses the password; check WANNENG_REDIS_URL"),
    (exceptions.NoPermissionError, "Redis denies the user a command; grant it, or check WANNENG_REDIS_URL"),
    (exceptions.ReadOnlyError, "Redis is read-only, as a replica is; WANNENG_REDIS_URL must lead to the primary"),
    (exceptions.OutOfMemoryError, "Redis has reached maxmemory and evicts nothing; set maxmemory-policy"),
    (exceptions.BusyLoadingError, "Redis is loading its data"),
    (exceptions.MaxConnectionsError, "all connections to Redis are in use"),
    (exceptions.InvalidResponse, "what answers at WANNENG_REDIS_URL is no Redis"),
    (exceptions.ResponseError, "Redis answers with an error"),
)
"""The first that fits."""


def cause_of(error: Exception) -> str:
    """One sentence, without address and password; what a command held is not in it."""
    for kind, sentence in ANSWERS:
        if isinstance(error, kind):
            return sentence
    if isinstance(error, (exceptions.RedisError, OSError)):
        return f"Redis does not answer: {connection_cause(error)}"
    return "what answers at WANNENG_REDIS_URL is no Redis"
