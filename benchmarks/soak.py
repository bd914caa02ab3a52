"""Does anything grow? A `wanneng serve` under a steady load, looked at a hundred times: `make soak`, 20 minutes.

The server is a new one with a small cache: a cache that fills up would look like a leak. Times are not judged.
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

from benchmarks.holdings import Sample, judge_growth, take_sample
from loadtest.budget import Line
from tests.e2e.server import ROOT, Server, serving

SAMPLES = 100
SMALL_CACHE = "1000000"
STRAGGLE_S = 60.0
CALL, LONGEST = 64, 5
"""Pairs of the largest call, and how many lengths of text are tried, the longest of 512 tokens."""


def main() -> None:
    """Print a line for each promise; exit code 1 when one was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=7.5, help="requests a second")
    parser.add_argument("--workload", default="mixed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), WANNENG_CACHE_BYTES=SMALL_CACHE) as server:
        lines = soak(server, options.minutes, options.rate, options.workload)
    for line in lines:
        print(line)
    sys.exit(0 if all(line.kept for line in lines) else 1)


def soak(server: Server, minutes: float, rate: float, workload: str) -> list[Line]:
    """Load it, and judge what came back and what its processes hold.

    The largest calls come first: ONNX Runtime keeps the memory of the largest it has run.
    """
    for times in range(1, LONGEST + 1):
        labels = [f"标签{number}" for number in range(CALL)]
        server.classify(text="手机质量太差" * (85 * times // LONGEST), labels=labels).raise_for_status()
    samples, faults, answered = asyncio.run(_run(server, 60 * minutes, rate, workload))
    wrong = Line("requests failed", "0", f"{faults.total()} of {answered}", faults.total() == 0)
    return [wrong, *judge_growth(samples)]


async def _run(
    server: Server, seconds: float, rate: float, workload: str
) -> tuple[Sequence[Sample], Counter[str], int]:
    verdict = server.state / "verdict.json"
    locust = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "--locustfile", "loadtest/locustfile.py", "--headless"),
        *("--users", "1", "--only-summary", "--host", server.url, "--duration-s", str(seconds)),
        *("--workload", workload, "--rate", str(rate), "--verdict", str(verdict)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    samples, began = [], time.monotonic()
    try:
        while (passed := time.monotonic() - began) < seconds and locust.returncode is None:
            samples.append(take_sample(psutil.Process(server.process.pid)))
            if sys.stderr.isatty():
                print(f"\r{passed / seconds:4.0%} ", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(seconds / SAMPLES)
        async with asyncio.timeout(STRAGGLE_S):
            await locust.wait()
    finally:
        if locust.returncode is None:
            locust.kill()
            await locust.wait()
    report = json.loads(verdict.read_text(encoding="utf-8"))
    return samples, Counter(report["faults"]), report["answered"]


if __name__ == "__main__":
    main()
