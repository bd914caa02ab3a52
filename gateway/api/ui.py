"""The page to try it, and the page of all paths. Each is served from here and asks for nothing from elsewhere."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.answers import route
from gateway.api.openapi import document

FOLDER = Path(__file__).parent.parent / "ui"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
HTML, CSS, JS = "text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"


class UiEndpoints:
    """Reads its files once."""

    def __init__(self) -> None:
        self._page = (FOLDER / "index.html").read_bytes()
        self._css = (FOLDER / "app.css").read_bytes()
        self._js = (FOLDER / "app.js").read_bytes()
        self._docs = docs_page().encode()

    def routes(self) -> list[Route]:
        return [
            route("GET", "/", self.page),
            route("GET", "/docs", self.docs),
            route("GET", "/ui/app.css", self.css),
            route("GET", "/ui/app.js", self.js),
        ]

    async def page(self, request: Request) -> Response:
        return Response(self._page, headers=HEADERS, media_type=HTML)

    async def docs(self, request: Request) -> Response:
        return Response(self._docs, headers=HEADERS, media_type=HTML)

    async def css(self, request: Request) -> Response:
        return Response(self._css, headers=HEADERS, media_type=CSS)

    async def js(self, request: Request) -> Response:
        return Response(self._js, headers=HEADERS, media_type=JS)


def docs_page() -> str:
    """The OpenAPI document for people: each operation with its body's example and its answer's fields."""
    described = document()
    operations = [
        _operation(method, path, one, described["components"]["schemas"])
        for path, methods in described["paths"].items()
        for method, one in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>wanneng: every path</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="stylesheet" href="/ui/app.css"><link rel="icon" href="data:,"></head><body>'
        '<header><h1>wanneng <small>every path</small></h1><nav aria-label="wanneng"><a href="/">Try it</a> '
        '<a href="/openapi.json">openapi.json</a></nav></header>'
        f'<main><section aria-label="Paths">{"".join(operations)}</section></main></body></html>'
    )


def _operation(method: str, path: str, one: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [
        f'<div class="operation"><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(one["summary"])}'
    ]
    if "description" in one:
        parts.append(f" {escape(one['description'])}")
    parts.append("</p>")
    named = [parameter for parameter in one["parameters"] if parameter["in"] != "path"]
    parts += [f"<p><code>{escape(each['name'])}</code> {escape(each['description'])}</p>" for each in named]
    for content in one.get("requestBody", {}).get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        for example in schemas.get(name, {}).get("examples", []):
            shown = msgspec.json.format(msgspec.json.encode(example)).decode()
            parts.append(f'<pre tabindex="0">{escape(shown)}</pre>')
    return "".join([*parts, "</div>"])
