"""The page to try it, and the API reference. Both are static, and ask nothing of other hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.responses import Response

from web.operations import Call, Operation

FOLDER = Path(__file__).parents[1] / "page"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
SCRIPTS = (
    *("advice", "app", "csv", "files", "form", "history", "many", "page"),
    *("requests", "result", "rows", "sets", "texts", "upload"),
)
"""Modules of the page to try it."""
FILES = (
    ("/", "index.html", "The page to try it"),
    ("/docs", "docs.html", "This document for people"),
    ("/ui/app.css", "app.css", "Style of both pages"),
    ("/ui/docs.js", "docs.js", "Script of the API reference"),
    *((f"/ui/{name}.js", f"{name}.js", f"Script of the page to try it: {name}") for name in SCRIPTS),
)
"""Path, file in `FOLDER`, summary."""


class PageEndpoints:
    """Reads each file once."""

    def operations(self) -> Sequence[Operation]:
        return [_operation(path, FOLDER / name, summary) for path, name, summary in FILES]


def _operation(path: str, file: Path, summary: str) -> Operation:
    content, media_type = file.read_bytes(), MEDIA_TYPES[file.suffix]

    async def serve(call: Call) -> Response:
        return Response(content, headers=HEADERS, media_type=f"{media_type}; charset=utf-8")

    return Operation("GET", path, serve, summary, media_type=media_type, id=path)
