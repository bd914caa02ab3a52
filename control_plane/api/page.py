"""The page to try it, the console and the API reference: static, and asking nothing of other hosts."""

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
PAGES = (
    ("/", "index.html", "The page to try it"),
    ("/console", "console.html", "The console"),
    ("/docs", "docs.html", "This document for people"),
)
"""Path, file in `FOLDER`, summary."""
PARTS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in (".css", ".js"))
FILES = (*PAGES, *((f"/ui/{part}", part, f"Part of the pages: {part}") for part in PARTS))


class PageEndpoints:
    """Reads each file once."""

    def operations(self) -> Sequence[Operation]:
        return [_operation(path, FOLDER / name, summary) for path, name, summary in FILES]


def _operation(path: str, file: Path, summary: str) -> Operation:
    content, media_type = file.read_bytes(), MEDIA_TYPES[file.suffix]

    async def serve(call: Call) -> Response:
        return Response(content, headers=HEADERS, media_type=f"{media_type}; charset=utf-8")

    return Operation("GET", path, serve, summary, media_type=media_type, id=path)
