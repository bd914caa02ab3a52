"""Every example of docs/ runs: the blocks of a page one after another, as a reader would paste them.

The Chinese pages have the same blocks; tests/test_documentation.py compares them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, Server

WITHOUT_EXAMPLES = {"architecture", "configuration", "console", "engines-measured", "faults", "load-testing"}
ELSEWHERE = {"kubernetes"}
"""Run by tests/cluster/without_database/test_docs.py."""
PAGES = {page.stem: page for page in sorted((ROOT / "docs").glob("*.md"))}
RUN = sorted(PAGES.keys() - WITHOUT_EXAMPLES - ELSEWHERE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
URL = "http://127.0.0.1:8080"
PRINTED = {
    "batches": ('"status":"completed"', '"custom_id":"1"'),
    "label-sets": ('"version":1', '"label_set":"tickets@1"', '"labels":["投诉"'),
    "tenants": ("ratelimit-policy", "docs-acme"),
}
"""What the commands of a page print, beside what they check themselves."""


def blocks(name: str) -> list[tuple[str, str]]:
    """Language and content of what a reader can run."""
    all_blocks = BLOCK.findall(PAGES[name].read_text(encoding="utf-8"))
    return [(language, block) for language, block in all_blocks if language in ("sh", "python")]


@pytest.fixture
def checkout(tmp_path: Path, server: Server) -> Path:
    """A folder that looks like the server's checkout to the commands, which leave files in it."""
    (tmp_path / ".state").symlink_to(server.state_dir)
    for name in ("embedded", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(command: list[str], server: Server, checkout: Path) -> str:
    """What was printed."""
    environment = dict(os.environ) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "WANNENG_URL": server.url,
        "WANNENG_ADMIN_KEY": (server.state_dir / "admin.key").read_text(encoding="utf-8").strip(),
    }
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("name", RUN)
def test_the_examples_of_a_page_run(name: str, server: Server, checkout: Path) -> None:
    examples = [(language, block.replace(URL, server.url)) for language, block in blocks(name)]
    assert examples, "a page without an example"
    shell = "\n".join(block for language, block in examples if language == "sh")
    printed = run(["bash", "-xeuo", "pipefail", "-c", shell], server, checkout).replace(": ", ":")
    for text in PRINTED.get(name, ()):
        assert text in printed.lower()
    for language, block in examples:
        if language == "python":
            run([sys.executable, "-c", block], server, checkout)


@pytest.mark.parametrize("name", sorted(WITHOUT_EXAMPLES))
def test_pages_that_are_not_run_have_no_examples(name: str) -> None:
    assert not blocks(name)
