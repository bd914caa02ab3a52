"""The CPU limit of a container, in the files of cgroups of versions 2 and 1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wanneng.serve.cores import limited_cores

MACHINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("50000 100000", 1),
        ("100000 100000", 1 if MACHINE > 1 else 0),
        (f"{MACHINE}00000 100000", 0),
        ("1000000000 100000", 0),
        ("max 100000", 0),
        ("", 0),
    ],
)
def test_a_limit_below_the_machines_cores_counts(content: str, cores: int, tmp_path: Path) -> None:
    assert limited_cores(tmp_path) == 0
    (tmp_path / "cpu.max").write_text(content + "\n")
    assert limited_cores(tmp_path) == (cores if MACHINE > 1 else 0)


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("-1", 0), ("900000000", 0)])
def test_a_limit_of_version_1_counts_too(quota: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert limited_cores(tmp_path) == (cores if MACHINE > 1 else 0)
