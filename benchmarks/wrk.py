"""Runs `wrk`, whose requests cost a server's cores less than those of a client in Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass

TIMEOUT_S = 10
"""Of a request: the 2 s of wrk are less than a slow engine may take for many at once."""
GRACE_S = 30
"""For what is answered late, after which wrk is ended."""
MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What wrk measured."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


def run_wrk(url: str, script: str, *, seconds: int, connections: int, key: str = "") -> Loaded:
    """Send what the Lua `script` says to `url` from one thread.

    `url` is where all requests go, path included; `read_output` says what a failed request does. The script
    finds `key` as `os.getenv("WANNENG_KEY")`.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        completed = subprocess.run(
            [
                *("wrk", "-t1", f"-c{connections}", f"-d{seconds}", f"--timeout={TIMEOUT_S}s"),
                *("--latency", "-s", file.name, url),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=seconds + GRACE_S,
            env={"PATH": os.defpath, "WANNENG_KEY": key},
        )
    return read_output(completed.stdout)


def read_output(text: str) -> Loaded:
    """What wrk printed with `--latency`; ends this process if requests were refused or connections failed."""
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"not every request was answered; wrk printed:\n{text}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p50, p99 = (re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", text) for percent in (50, 99))
    assert rate, text
    assert p50, text
    assert p99, text
    return Loaded(float(rate[1]), *(float(found[1]) * MS[found[2]] for found in (p50, p99)))
