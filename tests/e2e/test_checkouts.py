"""`make serve` in checkouts that are where people put them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import free_ports
from tests.e2e.surroundings import BODY
from tests.git_files import ROOT, git_files

Verdict = Callable[[str, str], None]
INSTALL_TIMEOUT_S = 600
NAMES = ("PORT", "TRITON_HTTP_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT", "CONTROL_PLANE_PORT")


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of what Git has or would take."""
    folder = Path(tempfile.mkdtemp(prefix="wanneng-", dir="/var/tmp"))
    copied = folder / "中文 目录"
    for name in git_files():
        (copied / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copied / name)
    yield copied
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.whole
def test_make_serve_under_a_name_with_chinese_letters_and_a_blank(checkout: Path, verdict: Verdict) -> None:
    """Also with the variables of another Python, which would break this one."""
    ports = dict(zip(NAMES, free_ports(5), strict=True))
    environment = dict(os.environ) | {f"WANNENG_{name}": str(port) for name, port in ports.items()}
    environment |= {"PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent", "LC_ALL": "C"}
    process = subprocess.Popen(
        ["make", "serve"],
        cwd=checkout,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if line.startswith("curl "):
                break
        assert "curl " in printed, printed
        answer = httpx.post(
            f"http://127.0.0.1:{ports['PORT']}/v1/classify", json=BODY, trust_env=False, timeout=30
        )
        assert answer.status_code == 200
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
    verdict("make serve in `中文 目录`, with PYTHONHOME and PYTHONPATH of another Python", "installs and answers")


def environment_script(folder: Path, setup: str) -> str:
    """What `make serve` says before it installs anything, in mounts of its own."""
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            *([] if os.geteuid() == 0 else ["--map-root-user"]),
            "sh",
            "-ec",
            f"{setup}; cd '{folder}'; sh requirements/environment.sh .venv requirements/serve.txt",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout
    return done.stderr.strip()


@pytest.mark.parametrize(
    ("name", "setup", "sentence"),
    [
        ("noexec", "mount --bind {0} {0} && mount -o remount,noexec,bind {0}", "is mounted noexec"),
        ("read-only", "mount --bind {0} {0} && mount -o remount,ro,bind {0}", "cannot be written to"),
        ("with:colon", "true", "has a colon"),
    ],
)
def test_a_checkout_that_cannot_be_installed_says_why(
    name: str, setup: str, sentence: str, tmp_path: Path, verdict: Verdict
) -> None:
    folder = tmp_path / name
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    said = environment_script(folder, setup.format(f"'{folder}'"))
    assert sentence in said
    verdict(f"make serve, {name} checkout (emulated: mounts of its own)", said.replace(str(folder), "…"))
