"""A server is stopped, and hears of its children, whatever its parent did to its signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PARENT = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
SERVER = """
import asyncio, sys
from wanneng.serve.signals import reset_signals

async def run():
    reset_signals()
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
    print(await ended.wait(), flush=True)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    child.terminate()
    print(await child.wait(), flush=True)
    await asyncio.sleep(60)

asyncio.run(run())
"""


def test_signals_of_the_parent_are_not_inherited() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, SERVER], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["7\n", f"{-signal.SIGTERM}\n"]
            process.terminate()
            assert process.wait(timeout=10) == -signal.SIGTERM
        finally:
            process.kill()
