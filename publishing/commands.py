"""Runs the programs that build, push and sign; one that fails or is missing ends the publication."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PUSH_S = 3600.0


class Refused(Exception):
    """One sentence that names the cause and the way out."""


def run(*command: str, timeout_s: float = PUSH_S, cwd: Path | None = None) -> str:
    """Standard output of a command. Credentials come from the programs' own files, never from arguments."""
    return run_bytes(*command, timeout_s=timeout_s, cwd=cwd).decode()


def run_bytes(*command: str, timeout_s: float = PUSH_S, cwd: Path | None = None) -> bytes:
    try:
        done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise Refused(f"`{' '.join(command[:3])} …` did not end within {timeout_s:.0f} s") from None
    if done.returncode:
        told = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise Refused(f"`{' '.join(command[:3])} …` failed: {told or f'exit code {done.returncode}'}")
    return done.stdout


def require(*names: str) -> str:
    """The first of these programs that is installed."""
    for name in names:
        if shutil.which(name):
            return name
    raise Refused(f"{' or '.join(names)} is not installed, or not in PATH; install it")
