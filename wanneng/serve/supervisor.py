"""Starts Triton, the gateway and its worker, restarts what dies, stops all in their order. Knows no request."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import httpx

from wanneng.calls import Calls
from wanneng.errors import StartError
from wanneng.serve.access import admin_key, local_key
from wanneng.serve.alive import check_stubs, running_stubs
from wanneng.serve.child import Child
from wanneng.serve.ports import check_ports
from wanneng.serve.readiness import answers_ok, wait_until
from wanneng.serve.triton import TritonServer, prepare_triton
from wanneng.settings import PREFIX, ServeSettings, environment_of_children

TRITON, GATEWAY, WORKER = "triton", "gateway", "worker"
"""The children, and what their logs are called."""
GATEWAY_STOP_S = 3.0
TRITON_STOP_S = 5.5
"""Together under the 10 s in which a stop must be done."""
RESTARTS, RESTART_WINDOW_S = 5, 60.0
"""A server that dies more often than this is broken, not unlucky."""

WATCH_S, SILENCE_S = 1.0, 10.0
"""How often Triton is looked at, and how long it may say nothing: that it lives it says however busy it is."""

Say = Callable[[str], None]
OnReady = Callable[[str], None]
"""Told the local tenant's key."""


class Supervisor:
    """The servers of one machine. `say` prints a line for a person."""

    def __init__(self, settings: ServeSettings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._admin_key = ""
        self._triton: TritonServer | None = None
        self._stubs = 0
        self._children: dict[str, Child] = {}
        self._restarts: deque[float] = deque()

    async def run(self, on_ready: OnReady) -> None:
        """Serve until SIGINT or SIGTERM; `StartError` when a server cannot be started or kept alive."""
        check_ports(self._settings)
        self._settings.state.mkdir(parents=True, exist_ok=True)
        self._admin_key = self._settings.admin_key or admin_key(self._settings.state)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopping.set)
        stop = asyncio.create_task(stopping.wait())
        work = asyncio.create_task(self._serve(on_ready))
        try:
            await asyncio.wait({stop, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            stop.cancel()
            work.cancel()
            await asyncio.gather(stop, work, return_exceptions=True)
            await self._stop()

    async def _serve(self, on_ready: OnReady) -> None:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            self._say("starting Triton")
            await self._start_triton(client)
            self._say("starting the gateway")
            await self._start_gateway(client)
            calls = Calls(self._settings.url, self._admin_key)
            key = await asyncio.to_thread(local_key, calls, self._settings.state)
            await self._start_worker()
            on_ready(key)
            while True:
                await self._keep(client)

    async def _keep(self, client: httpx.AsyncClient) -> None:
        """Wait for a server to die or to be past help, and start it again."""
        watch = [asyncio.create_task(child.wait()) for child in self._children.values()]
        watch.append(asyncio.create_task(self._until_triton_is_ill(client)))
        try:
            await asyncio.wait(watch, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in watch:
                task.cancel()
            await asyncio.gather(*watch, return_exceptions=True)
        name, dead = next((n, child) for n, child in self._children.items() if child.returncode is not None)
        self._count_restart(dead)
        self._say(f"{dead.name} ended with {dead.returncode}; starting it again")
        dead.kill_group()
        if name == GATEWAY:
            await self._start_gateway(client)
        elif name == WORKER:
            await self._start_worker()
        else:
            assert self._triton is not None
            self._triton.remove_shared_memory()
            await self._start_triton(client)
            self._say("Triton answers again")

    async def _until_triton_is_ill(self, client: httpx.AsyncClient) -> int:
        """Its exit code, after it was ended: a Python process of it is gone, or it is silent for `SILENCE_S`."""
        triton = self._children[TRITON]
        heard_at = time.monotonic()
        answers = answers_ok(client, f"{self._settings.triton_url}/v2/health/live")
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                check_stubs(self._stubs, self._settings.state)
                if await answers():
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > SILENCE_S:
                    raise StartError(f"Triton did not answer for {SILENCE_S:.0f} s")
            except StartError as error:
                self._say(str(error))
                triton.kill_group()
                return await triton.wait()

    def _count_restart(self, dead: Child) -> None:
        now = time.monotonic()
        self._restarts.append(now)
        while now - self._restarts[0] > RESTART_WINDOW_S:
            self._restarts.popleft()
        if len(self._restarts) > RESTARTS:
            raise StartError(
                f"{dead.name} ended with {dead.returncode}, the {len(self._restarts)}th end within "
                f"{RESTART_WINDOW_S:.0f} s; its last lines ({dead.log}):\n{dead.last_lines()}"
            )

    async def _start_triton(self, client: httpx.AsyncClient) -> None:
        self._triton = prepare_triton(self._settings)
        await self._start(TRITON, "Triton", self._triton.command, self._triton.environment)
        ready = answers_ok(client, f"{self._settings.triton_url}/v2/models/{self._triton.last_model}/ready")
        await wait_until(ready, self._children[TRITON], "its models were loaded", self._settings.start_timeout_s)
        self._stubs = running_stubs(self._settings.state)

    async def _start_gateway(self, client: httpx.AsyncClient) -> None:
        await self._start(GATEWAY, "the gateway", [sys.executable, "-m", "gateway"], self._environment())
        ready = answers_ok(client, f"{self._settings.url}/readyz")
        await wait_until(ready, self._children[GATEWAY], "a first classification", self._settings.start_timeout_s)

    async def _start_worker(self) -> None:
        command = [sys.executable, "-m", "gateway.worker"]
        await self._start(WORKER, "the worker", command, self._environment())

    async def _start(self, name: str, shown: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        log = self._settings.state / f"{name}.log"
        self._children[name] = await Child.start(shown, command, environment, log)

    def _environment(self) -> dict[str, str]:
        """Of the gateway and its worker."""
        return environment_of_children(self._settings) | {
            f"{PREFIX}HOST": self._settings.host,
            f"{PREFIX}PORT": str(self._settings.port),
            f"{PREFIX}TRITON_URL": self._settings.triton_url,
            f"{PREFIX}REQUIRE_KEY": str(self._settings.require_key),
            f"{PREFIX}ADMIN_KEY": self._admin_key,
            f"{PREFIX}DATABASE_URL": self._settings.database_url or f"sqlite:///{self._settings.state}/wanneng.db",
            f"{PREFIX}BUCKETS": ",".join(map(str, self._triton.buckets if self._triton else ())),
        }

    async def _stop(self) -> None:
        """Triton last, so that no request meets one that is gone."""
        for names, timeout_s in (((WORKER, GATEWAY), GATEWAY_STOP_S), ((TRITON,), TRITON_STOP_S)):
            stopping = [self._children[name].stop(timeout_s) for name in names if name in self._children]
            await asyncio.gather(*stopping)
        if self._triton is not None:
            self._triton.remove_shared_memory()
