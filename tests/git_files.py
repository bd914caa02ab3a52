"""The files of this checkout: what Git has, or would take."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git_files(*paths: str) -> list[str]:
    """Relative to the checkout, sorted; those below `paths` where there are some."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())
