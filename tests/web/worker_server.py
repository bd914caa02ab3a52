"""A server of two workers: `python -m tests.web.worker_server PORT`; it answers with the pid of the worker."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from web.server import Draining, configure_logging, serve_workers
from web.settings import ServerSettings

WORKERS = 2
DRAIN_S = 1.5
LARGE_BYTES = 8_000_000


def create_app(draining: Draining, folder: Path, worker: int) -> ASGIApp:
    async def tell_pid(request: Request) -> Response:
        return PlainTextResponse(str(os.getpid()))

    async def fail(request: Request) -> Response:
        draining.failure = "nothing can be served"
        return PlainTextResponse("failing")

    async def slow(request: Request) -> Response:
        await asyncio.sleep(1.0)
        return PlainTextResponse("late")

    async def large(request: Request) -> Response:
        return Response(bytes(LARGE_BYTES))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        sys.stdout.write("the application has ended in order\n")
        sys.stdout.flush()

    routes = [Route("/", tell_pid), Route("/fail", fail), Route("/slow", slow), Route("/large", large)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    configure_logging()
    serve_workers(WORKERS, create_app, "127.0.0.1", int(sys.argv[1]), ServerSettings(drain_s=DRAIN_S))
