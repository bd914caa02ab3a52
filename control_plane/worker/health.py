"""The worker's own port: `/livez` for the kubelet, and `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from control_plane.settings import SettingsError
from stores.batches import LineResult
from web.loop_lag import LoopLag
from web.metrics import CONTENT_TYPE

ANY_ADDRESS = "0.0.0.0"
BACKLOG = 16


class WorkerMetrics:
    """Of one worker; the backlog of all is the control plane's to tell."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        lines = Counter("wanneng_batch_lines", "Lines that have a result.", ["result"], registry=self.registry)
        self._completed, self._failed = lines.labels("completed"), lines.labels("failed")
        batches = Counter("wanneng_batch_turns", "Turns that batches have had.", registry=self.registry)
        self.count_turn = batches.inc
        self.loop_lag = LoopLag(self.registry)

    def count_lines(self, results: Sequence[LineResult]) -> None:
        failed = sum(result.failed for result in results)
        self._failed.inc(failed)
        self._completed.inc(len(results) - failed)


class _Server(uvicorn.Server):
    """Leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(port: int, metrics: WorkerMetrics) -> AsyncIterator[None]:
    """Serve during the block, on the event loop that answers lines, so that a hung loop fails the probe.

    `SettingsError` when nobody can listen on `port`.
    """
    listener = _listen(port)

    async def livez(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def exposition(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE)

    router = Router([Route("/livez", livez), Route("/metrics", exposition)])
    config = uvicorn.Config(
        router,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        backlog=BACKLOG,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ANY_ADDRESS, port), backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"WANNENG_WORKER_PORT: the worker cannot listen on port {port}: {os.strerror(error.errno or 0)}; "
            "choose another port"
        ) from None
