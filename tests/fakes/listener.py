"""A process of any user that listens on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65_534
LISTENER = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
listener.settimeout(0)
try:
    listener.accept()
    print("somebody connected")
except BlockingIOError:
    print("nobody connected")
"""


class Listener:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def heard(self) -> str:
        """Whether somebody has connected; it then ends."""
        return self._process.communicate("\n")[0].strip()


@contextmanager
def listener_of(uid: int) -> Iterator[Listener]:
    """It listens as long as the block runs; only root can start one of another user."""
    command = [sys.executable, "-c", LISTENER, str(uid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Listener(process)
        finally:
            process.kill()
