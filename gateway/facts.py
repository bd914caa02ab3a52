"""The facts of one request, collected on its way and rendered once by `telemetry.py`. Knows no renderer."""

from __future__ import annotations

from msgspec import Struct

from gateway.quotas import Standing


class Facts(Struct):
    """Filled in by whoever knows; nothing here tells what a text or a label was. Its JSON is the log line."""

    request_id: str
    method: str = ""
    route: str = ""
    """A known path, or one word for all others."""
    status: int = 0
    seconds: float = 0.0
    tenant_id: str | None = None
    texts: int = 0
    labels: int = 0
    pairs_computed: int = 0
    pairs_cached: int = 0
    pairs_refused: int = 0
    """Because too many were in flight."""
    truncated_texts: int = 0
    triton_s: float = 0.0
    """Time spent waiting for Triton, over all calls of the request."""
    quota: Standing | None = None
    """What is left of the tenant's pairs; None where they are not bounded."""
    engine_id: str | None = None
    error_code: str | None = None
    trace_id: str | None = None
    """Of OpenTelemetry; None where the caller named none and nothing is recorded."""
