"""Memory, files, threads and shared memory of a process tree over time, and whether they grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from loadtest.budget import Promise

SHARED_MEMORY = Path("/dev/shm")
MB = 1_000_000
PROCESSES: Mapping[str, frozenset[str]] = {
    "worker": frozenset({"control_plane", "worker"}),
    "control plane": frozenset({"control_plane"}),
    "gateway": frozenset({"gateway"}),
    "tritonserver": frozenset({"tritonserver"}),
    "expand": frozenset({"expand"}),
    "structbert": frozenset({"structbert"}),
    "rank": frozenset({"rank"}),
    "wanneng": frozenset({"wanneng"}),
}
"""Names of processes, each with the words that its command line has; the first that fits is taken."""


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What one process uses at one moment."""

    pid: int
    resident_bytes: int
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class UsageSample:
    """What all processes use at one moment, by name, and their shared memory."""

    processes: Mapping[str, ProcessUsage]
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much more the last quarter of the samples may use than the second; the first quarter is warm-up."""

    share: float
    absolute: float


MEMORY = Allowance(0.03, 4 * MB)
FILES = Allowance(0.0, 6)
THREADS = Allowance(0.0, 2)
SHARED = Allowance(0.0, MB)


def take_sample(root: psutil.Process) -> UsageSample:
    """Sample `root` and its descendants; a process that ends meanwhile is left out."""
    processes: dict[str, ProcessUsage] = {}
    for process in [root, *root.children(recursive=True)]:
        try:
            with process.oneshot():
                usage = ProcessUsage(
                    process.pid, process.memory_info().rss, process.num_fds(), process.num_threads()
                )
                processes[name_of(process)] = usage
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    shared_bytes = sum(path.stat().st_size for path in SHARED_MEMORY.glob(f"wanneng_{root.pid}_*"))
    return UsageSample(processes, shared_bytes)


def judge_growth(samples: Sequence[UsageSample]) -> list[Promise]:
    """One promise for each resource of each process; broken as well if a process ended or was replaced."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    promises = []
    for name in sorted({name for sample in samples for name in sample.processes}):
        pids = {sample.processes[name].pid if name in sample.processes else 0 for sample in samples}
        if len(pids) > 1:
            promises.append(Promise(f"{name}: one process", "from first to last", "it ended", kept=False))
            continue
        for resource, field, summarize, unit, allowance in (
            ("resident memory", "resident_bytes", median, MB, MEMORY),
            # The number of connections follows the work, so peaks are compared.
            ("open files", "files", max, 1, FILES),
            ("threads", "threads", max, 1, THREADS),
        ):
            before, after = (
                summarize(getattr(sample.processes[name], field) for sample in part) for part in (early, late)
            )
            promises.append(_promise(f"{name}: {resource}", before, after, allowance, unit))
    before, after = (median(sample.shared_bytes for sample in part) for part in (early, late))
    promises.append(_promise("/dev/shm", before, after, SHARED, MB))
    return promises


def _promise(what: str, before: float, after: float, allowance: Allowance, unit: float) -> Promise:
    limit = before + max(allowance.share * before, allowance.absolute)
    suffix = " MB" if unit == MB else ""
    return Promise(
        what,
        f"≤ {limit / unit:.4g}{suffix}",
        f"{before / unit:.4g} → {after / unit:.4g}{suffix}",
        after <= limit,
    )


def name_of(process: psutil.Process) -> str:
    """Of `PROCESSES`, or `other`."""
    words = {word for part in process.cmdline() for word in part.split("/")}
    return next((name for name, needed in PROCESSES.items() if needed <= words), "other")
