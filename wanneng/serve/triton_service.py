"""Triton as a service: ready when its models are, and ended if it is alive but can no longer serve."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import httpx

from wanneng.errors import StartError
from wanneng.serve.alive import check_stubs, running_stubs
from wanneng.serve.child import Child
from wanneng.serve.processes import ProcessSpec
from wanneng.serve.readiness import answers_ok
from wanneng.serve.serve_log import Say
from wanneng.serve.service import Service
from wanneng.serve.triton import TritonServer, prepare_triton
from wanneng.settings import ServeSettings

WATCH_S, MAX_SILENCE_S = 1.0, 10.0
"""How often it is asked, and how long it may not answer: however busy it is, it says that it lives."""


class TritonService(Service):
    """`prepare_triton` runs before each start, for the models of the one before are gone."""

    def __init__(self, settings: ServeSettings, http: httpx.AsyncClient, say: Say) -> None:
        super().__init__(self._prepare, settings, say, ready=self._models_are_ready)
        self._http = http
        self._lives = answers_ok(http, f"{settings.triton_url}/v2/health/live")
        self._server: TritonServer | None = None
        self._stubs = 0

    @property
    def length_buckets(self) -> tuple[int, ...]:
        """Known once it was started."""
        return self._server.buckets if self._server is not None else ()

    async def start(self) -> None:
        await super().start()
        self._stubs = running_stubs(self._settings.state_dir)

    async def end(self, child: Child) -> str:
        heard_at = time.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    return await super().end(child)
            try:
                check_stubs(self._stubs, self._settings.state_dir)
                if await self._lives():
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > MAX_SILENCE_S:
                    raise StartError(f"Triton did not answer for {MAX_SILENCE_S:.0f} s")
            except StartError as error:
                child.kill_group()
                await child.wait()
                return str(error)

    def clean_up(self) -> None:
        if self._server is not None:
            self._server.shared_memory.remove()

    def _prepare(self) -> ProcessSpec:
        self._server = server = prepare_triton(self._settings)
        server.shared_memory.hold()
        return ProcessSpec(
            "Triton", "triton", server.command, server.environment, server.prepare_process, trusted=False
        )

    async def _models_are_ready(self) -> bool:
        assert self._server is not None
        url = f"{self._settings.triton_url}/v2/models/{self._server.ready_model}/ready"
        return await answers_ok(self._http, url)()
