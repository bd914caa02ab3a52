"""A second port of a server, for operators and their Prometheus, which no Ingress leads to."""

from __future__ import annotations

from starlette.types import Scope

HEALTH_PATHS = frozenset({"/livez", "/readyz"})
"""On both ports."""


class InternalPort:
    """`paths` and what is below them are served on `port` alone, and nothing else is."""

    def __init__(self, port: int, paths: tuple[str, ...]) -> None:
        self._port = port
        self._paths = paths

    def serves(self, scope: Scope) -> bool:
        """Whether the path of a request is served on the port that it came to."""
        path: str = scope["path"]
        is_internal = any(path == own or path.startswith(f"{own}/") for own in self._paths)
        return path in HEALTH_PATHS or is_internal == (scope["server"][1] == self._port)
