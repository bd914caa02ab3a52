"""A short soak of a real server, and growth that is seen where there is some: in a process that leaks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.resource_usage import ProcessUsage, UsageSample, judge_growth, take_sample
from benchmarks.soak import SMALL_CACHE, soak
from tests.e2e.server import ROOT, serving

MINUTES, RATE = 0.6, 30.0
"""As many requests as in two and a half minutes of `make soak`."""
LEAKS = {
    "memory": "kept = []\nwhile True: kept.append(bytearray(1_000_000)); time.sleep(0.02)",
    "files": "kept = []\nwhile True: kept.append(open('/dev/null')); time.sleep(0.02)",
    "threads": "while True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start(); time.sleep(0.05)",
    "nothing": "while True: time.sleep(0.02)",
}


def test_nothing_grows_under_a_steady_load(tmp_path: Path, verdict: Callable[[str, str], None]) -> None:
    """Short as it is, only what leaks with every request shows: 1,000 of them."""
    with serving(tmp_path, ROOT / "tests/golden/small", WANNENG_CACHE_BYTES=SMALL_CACHE) as server:
        promises = soak(server, MINUTES, RATE, "mixed")
    for promise in promises:
        verdict(promise.what, f"{promise.measured}, promised {promise.promised}")
    assert {promise.what for promise in promises} > {
        "requests failed",
        "gateway: open files",
        "expand: threads",
        "/dev/shm",
    }
    broken = [promise for promise in promises if not promise.kept]
    assert not broken, broken


@pytest.mark.parametrize("leak", LEAKS)
def test_what_a_process_leaks_is_seen(leak: str) -> None:
    program = f"import threading, time\n{LEAKS[leak]}"
    leaking = subprocess.Popen([sys.executable, "-c", program])
    try:
        root, samples = psutil.Process(leaking.pid), []
        for _ in range(30):
            samples.append(take_sample(root))
            time.sleep(0.05)
    finally:
        leaking.kill()
        leaking.wait()
    broken = [promise.what for promise in judge_growth(samples) if not promise.kept]
    assert [leak in what for what in broken] == ([] if leak == "nothing" else [True])


def test_a_process_that_was_replaced_is_seen() -> None:
    samples = [UsageSample({"gateway": ProcessUsage(pid, 1, 1, 1)}, 0) for pid in (7, 7, 7, 8)]
    (promise, _) = judge_growth(samples)
    assert (promise.what, promise.kept) == ("gateway: one process", False)
