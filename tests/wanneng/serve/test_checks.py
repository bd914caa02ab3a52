"""What a machine lacks is said before anything starts; tests/surroundings/ takes it away for real."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from wanneng.errors import StartError
from wanneng.serve import checks
from wanneng.serve.checks import check_executable, check_surroundings


def test_this_machine_has_what_is_needed(tmp_path: Path) -> None:
    check_surroundings()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard, "Triton takes the soft limit"


@pytest.mark.parametrize(
    ("constant", "value", "sentence"),
    [
        ("TEMPORARY", Path("/missing"), "Triton needs /missing, which cannot be written to: No such file"),
        ("SHARED_MEMORY", Path("/missing"), "Triton needs /missing: No such file.*--shm-size=512m"),
        ("MIN_SHARED_MEMORY", 1 << 60, r"Triton needs \d+ MiB of /dev/shm, where \d+ MiB of \d+ MiB are free"),
        ("MIN_FILES", 1 << 40, r"this process may open \d+ files, and 1099511627776 are needed; .*ulimit -n"),
    ],
)
def test_what_is_missing_is_named_with_a_way_out(
    constant: str, value: object, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, constant, value)
    with pytest.raises(StartError, match=sentence):
        check_surroundings()


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    program = tmp_path / "tritonserver"
    with pytest.raises(StartError, match="tritonserver cannot be run: No such file"):
        check_executable(program)
    program.touch(mode=0o600)
    with pytest.raises(StartError, match=r"tritonserver cannot be run: .* no permission"):
        check_executable(program)
