"""What the tests need is named before they start, from the one list that CI installs from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.server import ROOT

REQUIREMENTS = ROOT / "requirements"


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(folder / "programs.sh"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": "/usr/bin:/bin"} | variables,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(REQUIREMENTS / "programs.sh", tmp_path)
    lines = [
        "# a comment",
        "",
        "here sh",
        "lost-one no-such-program",
        "lost-two /no/such/*/file",
        "found /bin/s*h",
    ]
    (tmp_path / "programs.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return tmp_path


def test_what_is_missing_is_one_line_to_paste(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 1
    assert "apt install --yes lost-one lost-two\n" in done.stderr
    assert run(folder, "missing").stdout.split() == ["lost-one", "lost-two"]


def test_who_cannot_install_anything_runs_the_other_tests(folder: Path) -> None:
    done = run(folder, WITHOUT="programs")
    assert done.returncode == 0
    assert "lost-one" in done.stderr


def test_ci_and_make_test_read_the_same_list() -> None:
    assert "requirements/programs.sh missing" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "sh requirements/programs.sh" in (ROOT / "Makefile").read_text(encoding="utf-8")
