"""The context of one request: filled in on its way, rendered once into metrics, headers, a span and a log line."""

from __future__ import annotations

from msgspec import Struct


class RequestContext(Struct):
    """Its JSON is the log line; nothing here tells what a text or a label was."""

    request_id: str
    method: str = ""
    route: str = ""
    """A known path, or one word for all others."""
    status: int = 0
    seconds: float = 0.0
    tenant_id: str | None = None
    error_code: str | None = None
    trace_id: str | None = None
    """OpenTelemetry's; None where the caller named none and nothing is recorded."""

    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer, a refusal included."""
        return []

    def span_attributes(self) -> dict[str, str | int | None]:
        return {
            "http.request.method": self.method,
            "http.route": self.route,
            "http.response.status_code": self.status,
            "wanneng.request_id": self.request_id,
            "wanneng.tenant_id": self.tenant_id,
            "error.type": self.error_code,
        }
