"""Runs both planes and Triton on this machine: starts them in order, keeps each running, stops them in order."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx

from wanneng.client import AsyncClient
from wanneng.client.connection import authorities
from wanneng.serve import processes
from wanneng.serve.access import admin_key, local_key
from wanneng.serve.checks import check_surroundings
from wanneng.serve.child import Child
from wanneng.serve.output import file_output, file_sink, log_file
from wanneng.serve.ports import check_ports
from wanneng.serve.private_files import lock_state_dir, prepare_state_dir
from wanneng.serve.readiness import answers_ok, wait_for_success
from wanneng.serve.serve_log import Say, ServeLog
from wanneng.serve.service import Service
from wanneng.serve.shared_memory import remove_leftovers
from wanneng.serve.signals import reset_signals
from wanneng.serve.triton_service import TritonService
from wanneng.settings import ServeSettings

WORKER_STOP_S, PLANES_STOP_S, TRITON_STOP_S = 1.0, 3.0, 5.5
"""Together under the 10 s in which a stop must be done."""
MIGRATION_STOP_S = 1.0
PROBE_TIMEOUT_S = 5.0

OnReady = Callable[[str | None], None]
"""Told the local tenant's key; None where a file declares the tenants."""


@dataclass(frozen=True, slots=True)
class _Services:
    triton: TritonService
    gateway: Service
    control_plane: Service | None = None
    """None where a file declares the tenants; so is the worker."""
    worker: Service | None = None

    async def keep(self) -> None:
        services = (self.triton, self.gateway, self.control_plane, self.worker)
        await _together(*(service.keep() for service in services if service is not None))

    async def stop(self) -> None:
        """Triton last, so that no request meets one that is gone."""
        for timeout_s, services in (
            (WORKER_STOP_S, (self.worker,)),
            (PLANES_STOP_S, (self.gateway, self.control_plane)),
            (TRITON_STOP_S, (self.triton,)),
        ):
            await asyncio.gather(*(service.stop(timeout_s) for service in services if service is not None))


class Supervisor:
    def __init__(self, settings: ServeSettings, log: ServeLog) -> None:
        self._settings = settings
        self._say = log

    async def run(self, on_ready: OnReady) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP; `StartError` when something cannot be started."""
        reset_signals()
        remove_leftovers()
        check_surroundings()
        check_ports(self._settings)
        prepare_state_dir(self._settings.state_dir)
        lock_state_dir(self._settings.state_dir)
        self._say.keep_in(file_sink(log_file(self._settings, "serve")))
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        verify = authorities(self._settings.url)
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False, verify=verify) as http:
            admin = self._settings.admin_key or admin_key(self._settings.state_dir)
            services = _services(self._settings, http, self._say, admin)
            signalled = asyncio.create_task(stopping.wait())
            serving = asyncio.create_task(self._serve(services, admin, on_ready))
            try:
                await asyncio.wait({signalled, serving}, return_when=asyncio.FIRST_COMPLETED)
                if serving.done():
                    serving.result()
            finally:
                signalled.cancel()
                serving.cancel()
                await asyncio.gather(signalled, serving, return_exceptions=True)
                await services.stop()

    async def _serve(self, services: _Services, admin: str, on_ready: OnReady) -> None:
        self._say("starting Triton")
        await _together(services.triton.start(), self._start_control_plane(services.control_plane))
        self._say("starting the gateway")
        await services.gateway.start()
        key = None
        if services.worker is not None:
            async with AsyncClient(self._settings.operators_url, admin) as client:
                key = await local_key(client, self._settings.state_dir)
            await services.worker.start()
        on_ready(key)
        await services.keep()

    async def _start_control_plane(self, control_plane: Service | None) -> None:
        """After the migration of its database."""
        if control_plane is None:
            return
        self._say("starting the control plane")
        spec = processes.migration(self._settings)
        output = file_output(self._settings, spec.log_name, trusted=spec.trusted)
        migration = await Child.start(spec.title, spec.command, spec.environment, output)
        try:
            await wait_for_success(migration, self._settings.start_timeout_s)
        finally:
            await migration.stop(MIGRATION_STOP_S)
        await control_plane.start()


def _services(settings: ServeSettings, http: httpx.AsyncClient, say: Say, admin: str) -> _Services:
    internal_key = settings.internal_key or secrets.token_hex(32)
    triton = TritonService(settings, http, say)
    gateway = Service(
        lambda: processes.gateway(settings, internal_key, triton.length_buckets),
        settings,
        say,
        ready=answers_ok(http, f"{settings.url}/readyz"),
    )
    if not settings.has_control_plane:
        return _Services(triton, gateway)
    control_plane = Service(
        lambda: processes.control_plane(settings, admin, internal_key),
        settings,
        say,
        ready=answers_ok(http, f"{settings.control_plane_url}/livez"),
    )
    worker = Service(lambda: processes.worker(settings, internal_key), settings, say)
    return _Services(triton, gateway, control_plane, worker)


async def _together(*steps: Coroutine[Any, Any, None]) -> None:
    """All at once; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
