"""Structs become JSON responses."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

encode = msgspec.json.Encoder().encode


class JsonResponse(Response):
    """Without the questions that Starlette's own asks of its media type and headers."""

    media_type = "application/json"

    def __init__(self, content: bytes) -> None:
        self.status_code, self.body, self.background = 200, content, None
        self.raw_headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    response = JsonResponse(encode(body))
    response.status_code = status
    if headers:
        response.headers.update(headers)
    return response
