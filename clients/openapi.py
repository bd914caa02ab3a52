"""Writes clients/openapi.json, which the clients are generated from: `make openapi`.

`--check` writes nothing and exits with 1 if the file is out of date.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx

import control_plane.bootstrap
import control_plane.settings
import gateway.bootstrap
import gateway.settings
from web.access_log import AccessLog
from web.middleware import Middleware
from web.openapi import merge

FILE = Path(__file__).with_name("openapi.json")
SILENT = AccessLog(lambda _: None)


async def document() -> dict[str, Any]:
    """What a gateway with a control plane serves."""
    own = await _served(gateway.bootstrap.create_app(gateway.settings.Settings(), log=SILENT))
    return merge(
        own, await _served(control_plane.bootstrap.create_app(control_plane.settings.Settings(), log=SILENT))
    )


async def _served(app: Middleware) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        response = await client.get("/openapi.json")
    served: dict[str, Any] = response.raise_for_status().json()
    return served


def main() -> None:
    """Write the file, or check it."""
    text = json.dumps(asyncio.run(document()), ensure_ascii=False, indent=1) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        sys.exit("clients/openapi.json is out of date: run `make openapi`")


if __name__ == "__main__":
    main()
