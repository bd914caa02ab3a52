"""Runs both planes and Triton on this machine: starts them in order, keeps each running, stops them in order."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import httpx

from wanneng.client import AsyncClient
from wanneng.serve import processes
from wanneng.serve.access import admin_key, local_key
from wanneng.serve.child import Child
from wanneng.serve.ports import check_ports
from wanneng.serve.readiness import answers_ok, wait_for_success
from wanneng.serve.service import Say, Service
from wanneng.serve.triton_service import TritonService
from wanneng.settings import ServeSettings

WORKER_STOP_S, PLANES_STOP_S, TRITON_STOP_S = 1.0, 3.0, 5.5
"""Together under the 10 s in which a stop must be done."""
PROBE_TIMEOUT_S = 5.0

OnReady = Callable[[str | None], None]
"""Told the local tenant's key; None where a file declares the tenants."""


class Supervisor:
    """`say` prints a line for a person."""

    def __init__(self, settings: ServeSettings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._stop_order: list[tuple[float, tuple[Service, ...]]] = []

    async def run(self, on_ready: OnReady) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP; `StartError` when something cannot be started or kept running."""
        check_ports(self._settings)
        self._settings.state_dir.mkdir(parents=True, exist_ok=True)
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        signalled = asyncio.create_task(stopping.wait())
        serving = asyncio.create_task(self._serve(on_ready))
        try:
            await asyncio.wait({signalled, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            signalled.cancel()
            serving.cancel()
            await asyncio.gather(signalled, serving, return_exceptions=True)
            await self._stop()

    async def _serve(self, on_ready: OnReady) -> None:
        settings, worker_key = self._settings, secrets.token_hex(32)
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
            triton = TritonService(settings, http, self._say)
            gateway = Service(
                lambda: processes.gateway(settings, worker_key, triton.length_buckets),
                settings,
                self._say,
                ready=answers_ok(http, f"{settings.url}/readyz"),
            )
            if settings.has_control_plane:
                await self._serve_both_planes(triton, gateway, worker_key, http, on_ready)
            else:
                await self._serve_data_plane(triton, gateway, on_ready)

    async def _serve_data_plane(self, triton: TritonService, gateway: Service, on_ready: OnReady) -> None:
        self._stop_order = [(PLANES_STOP_S, (gateway,)), (TRITON_STOP_S, (triton,))]
        self._say("starting Triton")
        await triton.start()
        self._say("starting the gateway")
        await gateway.start()
        on_ready(None)
        await _together(triton.keep(), gateway.keep())

    async def _serve_both_planes(
        self,
        triton: TritonService,
        gateway: Service,
        worker_key: str,
        http: httpx.AsyncClient,
        on_ready: OnReady,
    ) -> None:
        settings = self._settings
        admin = settings.admin_key or admin_key(settings.state_dir)
        control_plane = Service(
            lambda: processes.control_plane(settings, admin),
            settings,
            self._say,
            ready=answers_ok(http, f"{settings.control_plane_url}/livez"),
            essential=False,
        )
        worker = Service(lambda: processes.worker(settings, worker_key), settings, self._say, essential=False)
        self._stop_order = [
            (WORKER_STOP_S, (worker,)),
            (PLANES_STOP_S, (gateway, control_plane)),
            (TRITON_STOP_S, (triton,)),
        ]
        self._say("starting Triton and the control plane")
        await _together(triton.start(), self._migrate_and_start(control_plane))
        self._say("starting the gateway")
        await gateway.start()
        async with AsyncClient(settings.url, admin) as client:
            key = await local_key(client, settings.state_dir)
        await worker.start()
        on_ready(key)
        await _together(triton.keep(), gateway.keep(), control_plane.keep(), worker.keep())

    async def _migrate_and_start(self, control_plane: Service) -> None:
        spec = processes.migration(self._settings)
        log = self._settings.state_dir / f"{spec.log_name}.log"
        migration = await Child.start(spec.title, spec.command, spec.environment, log)
        try:
            await wait_for_success(migration, self._settings.start_timeout_s)
        finally:
            await migration.stop(WORKER_STOP_S)
        await control_plane.start()

    async def _stop(self) -> None:
        """Triton last, so that no request meets one that is gone."""
        for timeout_s, services in self._stop_order:
            await asyncio.gather(*(service.stop(timeout_s) for service in services))


async def _together(*steps: Coroutine[Any, Any, None]) -> None:
    """All at once; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
