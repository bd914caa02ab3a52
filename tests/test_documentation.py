"""The README and the code agree; a command, setting or file that only one of them has fails here."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

from gateway.api.problems import STATUSES
from gateway.settings import Settings
from loadtest.budget import BUDGETS
from wanneng.settings import ServeSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_file_map_names_every_folder_and_nothing_else() -> None:
    block = README.split("## Where things are")[1].split("```")[1]
    named = {line.split()[0].rstrip("/") for line in block.splitlines() if line and not line.startswith(" ")}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    assert {name for name in named if (ROOT / name).is_dir()} == folders
    assert all((ROOT / name).exists() for name in named)


def test_every_setting_is_in_the_readme() -> None:
    for field in [*fields(Settings), *fields(ServeSettings)]:
        assert f"`WANNENG_{field.name.upper()}`" in README, field.name


def test_every_default_in_the_readme_is_the_codes() -> None:
    rows = dict(re.findall(r"\| `WANNENG_(\w+)` \|(?: `?([^`|]*?)`?)? \|", README))
    defaults = {f.name.upper(): f.default for f in [*fields(ServeSettings), *fields(Settings)]}
    for name, default in defaults.items():
        shown = str(default.relative_to(ROOT)) if isinstance(default, Path) else str(default)
        assert rows[name] == shown, name


def test_every_error_code_is_in_the_readme_with_its_status() -> None:
    for error, (status, _) in STATUSES.items():
        assert re.search(rf"\| `{error.code}` \| {status} \|", README), error.code


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", README)) <= targets


def test_every_load_is_in_the_readme_with_what_it_promises() -> None:
    for budget in BUDGETS.values():
        assert f"| `{budget.name}` | {budget.rate:g} | {budget.p99_s * 1000:.0f} ms |" in README
