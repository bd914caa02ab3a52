"""Every example of docs/ is run: the blocks of a page one after another, as a reader would paste them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, Server

ELSEWHERE = ("engines-measured.md", "kubernetes.md")
"""Without examples; with those that tests/cluster runs."""
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in ELSEWHERE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HERE = "http://127.0.0.1:8080"


def run(command: list[str], server: Server, folder: Path) -> None:
    environment = dict(os.environ) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "WANNENG_URL": server.url,
        "WANNENG_ADMIN_KEY": (server.state / "admin.key").read_text(encoding="utf-8").strip(),
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, server: Server, tmp_path: Path) -> None:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8").replace(HERE, server.url))
    assert blocks, "a page without an example"
    shell = "\n".join(block for kind, block in blocks if kind == "sh")
    run(["bash", "-xeuo", "pipefail", "-c", shell], server, tmp_path)
    for kind, block in blocks:
        if kind == "python":
            run([sys.executable, "-c", block], server, tmp_path)


def test_links_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readmes_python_runs(server: Server, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace(HERE, server.url)
    (example,) = [block for kind, block in BLOCK.findall(readme) if kind == "python"]
    run([sys.executable, "-c", example], server, tmp_path)
