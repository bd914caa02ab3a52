"""Soak test: runs `wanneng serve` under steady load and looks for resources that grow. `make soak`, 20 minutes.

The server is a fresh one with a small cache, because a cache that fills up looks like a leak. Latency is not
judged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.resource_usage import UsageSample, judge_growth, take_sample
from loadtest.budget import Promise
from tests.e2e.server import ROOT, Server, serving

SAMPLES = 100
SMALL_CACHE = "1000000"
DRAIN_S = 60.0
"""How long to wait for Locust after the load has ended."""
MAX_CALL_PAIRS, LENGTHS = 64, 5
"""Pairs of the largest call, and how many lengths of text warm the engine up, the longest of 512 tokens."""


def main() -> None:
    """Print each promise; exit code 1 if one was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=7.5, help="requests a second")
    parser.add_argument("--workload", default="mixed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), WANNENG_CACHE_BYTES=SMALL_CACHE) as server:
        promises = soak(server, options.minutes, options.rate, options.workload)
    for promise in promises:
        print(promise)
    sys.exit(0 if all(promise.kept for promise in promises) else 1)


def soak(server: Server, minutes: float, rate: float, workload: str) -> list[Promise]:
    """Load the server; judge its responses and the growth of its processes.

    The largest calls come first, since ONNX Runtime keeps the memory of the largest call it has run.
    """
    labels = [f"标签{number}" for number in range(MAX_CALL_PAIRS)]
    for length in range(1, LENGTHS + 1):
        server.classify(text="手机质量太差" * (85 * length // LENGTHS), labels=labels).raise_for_status()
    samples, faults, answered = asyncio.run(_run(server, 60 * minutes, rate, workload))
    no_failures = Promise("requests failed", "0", f"{faults.total()} of {answered}", faults.total() == 0)
    return [no_failures, *judge_growth(samples)]


async def _run(
    server: Server, seconds: float, rate: float, workload: str
) -> tuple[Sequence[UsageSample], Counter[str], int]:
    """Samples of resource usage, failures by cause, and the number of responses."""
    verdict = server.state_dir / "verdict.json"
    locust = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "--locustfile", "loadtest/locustfile.py", "--headless"),
        *("--users", "1", "--only-summary", "--host", server.url, "--duration-s", str(seconds)),
        *("--workload", workload, "--rate", str(rate), "--verdict", str(verdict)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    samples, started_at = [], time.monotonic()
    try:
        while (elapsed_s := time.monotonic() - started_at) < seconds and locust.returncode is None:
            samples.append(take_sample(psutil.Process(server.process.pid)))
            if sys.stderr.isatty():
                print(f"\r{elapsed_s / seconds:4.0%} ", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(seconds / SAMPLES)
        async with asyncio.timeout(DRAIN_S):
            await locust.wait()
    finally:
        if locust.returncode is None:
            locust.kill()
            await locust.wait()
    report = json.loads(verdict.read_text(encoding="utf-8"))
    return samples, Counter(report["faults"]), report["answered"]


if __name__ == "__main__":
    main()
