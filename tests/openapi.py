"""What an OpenAPI document describes."""

from __future__ import annotations

from typing import Any


def described(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Its operations by method and path."""
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
