"""Builds the gateway: the only place where its parts meet. Importing it does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from gateway.admission import Admission
from gateway.api.boundary import Boundary
from gateway.api.endpoints import Endpoints
from gateway.api.problems import problem_of_error, problem_of_http
from gateway.classify import Classify
from gateway.errors import GatewayError
from gateway.readiness import Readiness
from gateway.settings import Settings
from gateway.telemetry import Telemetry
from gateway.triton import CONNECT_TIMEOUT_S, Classifier, Triton

MAX_CONNECTIONS = 128


def create_app(settings: Settings, *, classifier: Classifier | None = None) -> Starlette:
    """The ASGI application; tests give a `classifier` of their own in the place of Triton."""
    client = _client(settings) if classifier is None else None
    readiness = Readiness(classifier if client is None else Triton(client, settings.buckets))  # type: ignore[arg-type]
    admission = Admission(settings.max_pairs_in_flight)
    telemetry = Telemetry(admission, readiness)
    classify = Classify(readiness, admission, settings)
    routes = Endpoints(classify, readiness, telemetry, settings).routes()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        probing = asyncio.create_task(readiness.keep())
        try:
            yield
        finally:
            probing.cancel()
            with suppress(asyncio.CancelledError):
                await probing
            if client is not None:
                await client.aclose()

    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Boundary, telemetry, frozenset(route.path for route in routes))],
        exception_handlers={
            GatewayError: problem_of_error,
            HTTPException: problem_of_http,
        },
    )


def _client(settings: Settings) -> httpx.AsyncClient:
    # The aiohttp transport carries ten times the calls of httpx's own at 32 at once.
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    return httpx.AsyncClient(
        base_url=settings.triton_url,
        transport=AiohttpTransport(limits=limits),
        timeout=httpx.Timeout(settings.deadline_s, connect=CONNECT_TIMEOUT_S),
        trust_env=False,
    )
