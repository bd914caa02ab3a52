"""How many processor cores the limit of this container leaves, which ONNX Runtime does not look at."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def limited_cores(cgroups: Path = CGROUPS) -> int:
    """The cores of the container's CPU limit, rounded up; 0 if it has none, or not fewer than the machine."""
    limit_us, period_us = _version_2(cgroups / "cpu.max") or _version_1(cgroups / "cpu") or (0, 1)
    cores = math.ceil(limit_us / period_us)
    return cores if 0 < cores < len(os.sched_getaffinity(0)) else 0


def _version_2(file: Path) -> tuple[int, int] | None:
    """Microseconds of processor time in each period; None without a limit."""
    try:
        limit_us, period_us = file.read_text(encoding="ascii").split()
        return int(limit_us), int(period_us)
    except (OSError, ValueError):
        return None


def _version_1(folder: Path) -> tuple[int, int] | None:
    try:
        limit_us, period_us = (
            int((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period")
        )
    except (OSError, ValueError):
        return None
    return (limit_us, period_us) if limit_us > 0 < period_us else None
