"""A second port of a server, for operators and their Prometheus, which no Ingress leads to."""

from __future__ import annotations

from starlette.types import Scope

HEALTH_PATHS = frozenset({"/livez", "/readyz"})
"""On both ports."""


class InternalPort:
    """`paths` and what is below them are served on `port` alone, and nothing else is but `on_both`."""

    def __init__(self, port: int, paths: tuple[str, ...], on_both: tuple[str, ...] = ()) -> None:
        self._port = port
        self._paths = paths
        self._on_both = on_both

    def serves(self, scope: Scope) -> bool:
        """Whether the path of a request is served on the port that it came to."""
        path: str = scope["path"]
        if path in HEALTH_PATHS or _is_below(path, self._on_both):
            return True
        port: int = scope["server"][1]
        return _is_below(path, self._paths) == (port == self._port)


def _is_below(path: str, parents: tuple[str, ...]) -> bool:
    return any(path == parent or path.startswith(f"{parent}/") for parent in parents)
