"""Several processes that serve the same port: started, started again when they die, stopped together.

The kernel spreads connections over a socket of each worker (SO_REUSEPORT). Their parent keeps those sockets open,
so that what waits for a worker that died is served by the next one. Workers are forked before anything runs, and
share the memory of all code.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

UNUSABLE = os.EX_CONFIG
"""With this a worker ends that no new one could replace: it has logged why."""
SHORT_LIFE_S, PAUSE_S = 5.0, 1.0
"""Before a worker is started again that has lived no longer; others at once."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Work = Callable[[int, Sequence[socket.socket]], None]
"""Serves its sockets as the worker of this number until SIGTERM."""
log = logging.getLogger(__name__)


class Workers:
    def __init__(self, work: Work, sockets: Sequence[Sequence[socket.socket]]) -> None:
        """`sockets`: of each worker."""
        self._work = work
        self._sockets = sockets
        self._context = multiprocessing.get_context("fork")
        self._processes: dict[int, tuple[BaseProcess, float]] = {}
        """By number, with the time of the start."""
        self._stopping = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT, which each worker gets as well; the code to exit with."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._pass_on)
        for worker in range(len(self._sockets)):
            self._start(worker)
        code = 0
        while self._processes:
            ended = wait([process.sentinel for process, _ in self._processes.values()])
            for worker, (process, began) in list(self._processes.items()):
                if process.sentinel not in ended:
                    continue
                process.join()
                del self._processes[worker]
                if process.exitcode == UNUSABLE:
                    code = 1
                    self._pass_on(signal.SIGTERM, None)
                if not self._stopping:
                    log.warning("worker %d %s; starting it again", worker, _end_of(process))
                    if time.monotonic() - began < SHORT_LIFE_S:
                        time.sleep(PAUSE_S)
                self._start(worker)
        return code

    def _start(self, worker: int) -> None:
        # A signal in the new process must not find this one's handler, which would pass it on to the others.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            if not self._stopping:
                process = self._context.Process(target=self._run_worker, args=(worker,), name=f"worker {worker}")
                process.start()
                self._processes[worker] = (process, time.monotonic())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _run_worker(self, worker: int) -> None:
        # A signal to the group, as from a terminal, comes from the parent alone, once.
        os.setpgid(0, 0)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        own = self._sockets[worker]
        self._close([sockets for sockets in self._sockets if sockets is not own])
        self._work(worker, own)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        # A worker that stops listening is then the last that did.
        self._close(self._sockets)
        for process, _ in list(self._processes.values()):
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)

    @staticmethod
    def _close(sockets: Sequence[Sequence[socket.socket]]) -> None:
        for of_worker in sockets:
            for each in of_worker:
                each.close()


def shared_socket(family: int, address: Any) -> socket.socket:
    """One of several that share an address; nothing else may listen there."""
    shared = socket.socket(family, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(address)
    return shared


def _end_of(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
