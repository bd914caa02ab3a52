"""What a machine lacks is said before anything starts; tests/surroundings/ takes it away for real."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from wanneng.errors import StartError
from wanneng.serve import checks
from wanneng.serve.checks import check_executable, check_surroundings
from wanneng.settings import CHECKOUT

CHECK = "from wanneng.serve.checks import check_surroundings; check_surroundings()"


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
    ],
)
def test_what_is_missing_is_named_with_a_way_out(
    constant: str, value: object, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, constant, value)
    with pytest.raises(StartError, match=sentence):
        check_surroundings()


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ("-n 64", r"this process may open 64 files, and 512 are needed; .*`ulimit -n 4096`, in a container"),
        ("-f 1024", r"this process may write files of 1 MiB, and 64 MiB are needed; .*`ulimit -f unlimited`"),
        (
            "-v 2097152",
            r"this process may map 2048 MiB of memory, and 3072 MiB are needed; .*`ulimit -v unl",
        ),
    ],
)
def test_a_limit_that_is_too_small_is_named(limit: str, sentence: str) -> None:
    """Triton would be ended by SIGXFSZ or SIGSEGV."""
    command = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", sys.executable, "-c", CHECK]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, encoding="utf-8", check=False, timeout=30)
    assert re.search(f"StartError: {sentence}", done.stderr), done.stderr


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    program = tmp_path / "tritonserver"
    with pytest.raises(StartError, match="tritonserver cannot be run: No such file"):
        check_executable(program)
    program.touch(mode=0o600)
    with pytest.raises(StartError, match=r"tritonserver cannot be run: .* no permission"):
        check_executable(program)
