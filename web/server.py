"""The uvicorn server of a process, which drains after SIGTERM before it stops.

Load balancers need some seconds to look elsewhere, and clients keep their connections open: `Connection: close` on
each answer of that time sends them away between two requests, never within one.
"""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from logs import setup
from web.connections import ConnectionLimits
from web.http_protocol import bounded_protocol
from web.settings import LogSettings, ServerSettings, SettingsError, load_settings
from web.workers import UNUSABLE, Workers, shared_socket

log = logging.getLogger(__name__)

CLOSE = (b"connection", b"close")
BACKLOG = 2_048
PRIVATE_UMASK = 0o077
"""Whatever a process writes, the database included, only its owner reads."""
UNSENT_BYTES = 16_384
"""Unsent bytes that the kernel buffers for a connection, about; its own bound is 4 MB."""
RESERVED_FILES = 256
"""For the database, Triton, the control plane and the log."""
STOP_S = 2
"""How long requests in flight may still be answered once the server is told to stop."""


@dataclass(slots=True)
class Draining:
    """Whether this process is about to stop."""

    begun: bool = False
    failure: str = ""
    """Why it must end at once, in a sentence; the process then exits with 1."""


class DrainingServer(uvicorn.Server):
    """Stops `drain_s` seconds after the first SIGTERM, at once after a second one or SIGINT."""

    def __init__(self, config: uvicorn.Config, draining: Draining, drain_s: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._drain_s = drain_s
        self._ends = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn does, but for the first SIGTERM."""
        if sig == signal.SIGTERM and self._drain_s and not self._draining.begun:
            self._draining.begun = True
            self._ends = time.monotonic() + self._drain_s
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the server."""
        ends = time.monotonic() >= self._ends or bool(self._draining.failure)
        return await super().on_tick(counter) or ends


def configure_logging() -> None:
    """As `WANNENG_LOG_FORMAT` says; `SettingsError`, which can be logged by then, where it says nothing known."""
    setup.configure()
    setup.configure(load_settings(LogSettings).log_format)


def serve(
    app: ASGIApp, host: str, port: int, draining: Draining, settings: ServerSettings, internal_port: int = 0
) -> None:
    """Serve until SIGTERM or SIGINT; on `internal_port` too unless that is 0."""
    _serve(app, _bind(host, port, internal_port), draining, settings)
    if draining.failure:
        sys.exit(1)


def serve_workers(
    count: int,
    create_app: Callable[[Draining, Path, int], ASGIApp],
    host: str,
    port: int,
    settings: ServerSettings,
    internal_port: int = 0,
) -> None:
    """As `serve`, by `count` processes; each makes its own application, with a folder for all and its number."""

    def work(worker: int, own: Sequence[socket.socket]) -> None:
        draining = Draining()
        try:
            app = create_app(draining, folder, worker)
        except SettingsError as error:
            log.critical("cannot start: %s", error)
            sys.exit(UNUSABLE)
        _serve(app, own, draining, settings)
        if draining.failure:
            sys.exit(UNUSABLE)

    bound = [(exclusive, exclusive.getsockname()) for exclusive in _bind(host, port, internal_port)]
    for exclusive, _ in bound:
        # Sharing a port with another server of this user would not fail.
        exclusive.close()
    sockets = [[shared_socket(exclusive.family, address) for exclusive, address in bound] for _ in range(count)]
    with tempfile.TemporaryDirectory(prefix="wanneng-workers-") as name:
        folder = Path(name)
        code = Workers(work, sockets).run()
    sys.exit(code)


def _serve(app: ASGIApp, sockets: Sequence[socket.socket], draining: Draining, settings: ServerSettings) -> None:
    # What exists now stays until the end: the garbage collector need not look at it again.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        # Its own set-up of Python's logging would be another format.
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
        backlog=BACKLOG,
        ws="none",
        http=bounded_protocol(_limits(settings), settings.keep_alive_s),
    )
    for each in sockets:
        # Accepted connections inherit it.
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    DrainingServer(config, draining, settings.drain_s).run(list(sockets))
    if draining.failure:
        log.critical(draining.failure)


def _bind(host: str, port: int, internal_port: int) -> list[socket.socket]:
    """Sockets of both ports; the process ends with a sentence where one is in use."""
    ports = (port, internal_port) if internal_port else (port,)
    sockets = [
        uvicorn.Config("", host=host, port=number, log_config=None, log_level="warning").bind_socket()
        for number in ports
    ]
    log.info("listening on %s:%d", host, port)
    return sockets


def _limits(settings: ServerSettings) -> ConnectionLimits:
    """Those of the settings, within what the operating system lets this process open."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    max_connections = settings.max_connections
    if most_files != resource.RLIM_INFINITY:
        max_connections = max(1, min(max_connections, most_files - RESERVED_FILES))
    return ConnectionLimits(
        max_header_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
        header_timeout_s=settings.header_timeout_s,
        max_connections=max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        max_unsent_bytes=settings.max_unsent_bytes,
        max_unfinished_bytes=settings.max_unfinished_bytes,
    )
