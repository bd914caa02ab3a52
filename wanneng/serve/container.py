"""Triton as the only service of a container: its lines on standard output, signals passed on, its exit code."""

from __future__ import annotations

import asyncio
import signal

from logs.records import ERROR
from logs.setup import STDOUT, is_text
from wanneng.serve.checks import check_surroundings
from wanneng.serve.child import Child
from wanneng.serve.log_lines import LogLines
from wanneng.serve.output import Output, stdout_sink
from wanneng.serve.private_files import lock_state_dir, prepare_state_dir
from wanneng.serve.serve_log import Say
from wanneng.serve.shared_memory import remove_leftovers
from wanneng.serve.signals import reset_signals
from wanneng.serve.triton import prepare_triton
from wanneng.settings import ServeSettings

STOPPED_BY_SIGNAL = 128
"""Plus the number of the signal: the exit code that shells and container runtimes use."""


async def run_triton(settings: ServeSettings, exit_timeout_s: int, say: Say) -> int:
    """Until Triton ends, which SIGTERM and SIGINT ask it to; the exit code."""
    reset_signals()
    remove_leftovers()
    check_surroundings()
    prepare_state_dir(settings.state_dir)
    lock_state_dir(settings.state_dir)
    server = prepare_triton(settings, exit_timeout_s)
    server.shared_memory.hold()
    output = Output(stdout_sink, LogLines("triton"), text=is_text(settings.log_format, STDOUT))
    child = await Child.start("Triton", server.command, server.environment, output, server.prepare_process)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, child.terminate)
    code = await child.wait()
    child.kill_group()
    # Its own last lines come first.
    child.close()
    if code:
        say(child.end, level=ERROR, **child.end_fields)
    server.shared_memory.remove()
    return code if code >= 0 else STOPPED_BY_SIGNAL - code
