"""What a tree of processes holds over time (memory, files, threads, shared memory), and whether it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from loadtest.budget import Line

SHARED_MEMORY = Path("/dev/shm")
MB = 1_000_000
NAMES = ("gateway.worker", "gateway", "tritonserver", "expand", "structbert", "rank", "wanneng")
"""What a process is called: the first of these that is a word of its command line."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one process at one time."""

    pid: int
    resident_bytes: int
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Of all processes by name, and the shared memory that is theirs."""

    holdings: Mapping[str, Holding]
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much more the last quarter of the samples may show than the second: the first is for warming up."""

    share: float
    absolute: float


MEMORY = Allowance(0.03, 4 * MB)
FILES = Allowance(0.0, 6)
THREADS = Allowance(0.0, 2)
SHARED = Allowance(0.0, MB)


def take_sample(root: psutil.Process) -> Sample:
    """`root` and all that it has started; what ends meanwhile is left out."""
    holdings: dict[str, Holding] = {}
    for process in [root, *root.children(recursive=True)]:
        try:
            with process.oneshot():
                holding = Holding(process.pid, process.memory_info().rss, process.num_fds(), process.num_threads())
                holdings[_name(process.cmdline())] = holding
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    shared = sum(path.stat().st_size for path in SHARED_MEMORY.glob(f"wanneng_{root.pid}_*"))
    return Sample(holdings, shared)


def judge_growth(samples: Sequence[Sample]) -> list[Line]:
    """A line for each thing that each process holds; broken too when a process ended or was replaced."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    lines = []
    for name in sorted({name for sample in samples for name in sample.holdings}):
        pids = {sample.holdings[name].pid if name in sample.holdings else 0 for sample in samples}
        if len(pids) > 1:
            lines.append(Line(f"{name}: one process", "from first to last", "it ended", kept=False))
            continue
        for what, of, most, unit, allowance in (
            ("resident memory", "resident_bytes", median, MB, MEMORY),
            # Connections come and go with the work, so their number is judged by its peaks.
            ("open files", "files", max, 1, FILES),
            ("threads", "threads", max, 1, THREADS),
        ):
            before, after = (most(getattr(sample.holdings[name], of) for sample in part) for part in (early, late))
            lines.append(_line(f"{name}: {what}", before, after, allowance, unit))
    before, after = (median(sample.shared_bytes for sample in part) for part in (early, late))
    lines.append(_line("/dev/shm", before, after, SHARED, MB))
    return lines


def _line(what: str, before: float, after: float, allowance: Allowance, unit: float) -> Line:
    most = before + max(allowance.share * before, allowance.absolute)
    shown = " MB" if unit == MB else ""
    return Line(
        what, f"≤ {most / unit:.4g}{shown}", f"{before / unit:.4g} → {after / unit:.4g}{shown}", after <= most
    )


def _name(command: Sequence[str]) -> str:
    words = {word for part in command for word in part.split("/")}
    return next((name for name in NAMES if name in words), "other")
