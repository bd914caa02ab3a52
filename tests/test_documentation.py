"""The documentation agrees with the code, with the repository and between its two languages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from gateway.api.statuses import STATUSES as GATEWAY_STATUSES
from loadtest.budget import BUDGETS
from web.problems import STATUSES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ENGLISH_ONLY = {"engines-measured.md"}
"""Written by a benchmark."""
ENGLISH = [
    ROOT / "README.md",
    *sorted(page for page in DOCS.glob("*.md") if page.name not in ENGLISH_ONLY),
    *sorted(DOCS.glob("runbooks/*.md")),
]
PAGES = [
    *ENGLISH,
    *sorted(DOCS.glob("zh/**/*.md")),
    *sorted(DOCS.glob("decisions/*.md")),
    *sorted(ROOT.glob("training/decisions/*.md")),
    *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "README.zh-CN.md", "embedded/MODEL_CARD.md")),
    *(DOCS / name for name in ENGLISH_ONLY),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
MAKE = re.compile(r"(?:\S+=\S+ )*make ([a-z0-9-]+)")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", read(page))


def path_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


class Table(NamedTuple):
    heading: str
    rows: list[list[str]]
    """Cells, without the head and the line below it."""


def tables(page: Path) -> Iterator[Table]:
    heading, rows = "", []
    for line in [*prose(page).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))])
            continue
        if rows:
            yield Table(heading, rows[2:])
            rows = []
        if found := HEADING.fullmatch(line):
            heading = found[2]


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as GitHub names them."""
    headings = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", text) for _, text in HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", read(ROOT / "Makefile"), re.MULTILINE))


def test_the_readme_fits_on_120_lines() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= 120
    assert len(read(ROOT / "README.zh-CN.md").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=path_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        name, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=path_of)
def test_make_targets_exist(page: Path) -> None:
    lines = [line for _, block in FENCE.findall(read(page)) for line in block.splitlines()]
    named = {found[1] for command in [*CODE.findall(prose(page)), *lines] if (found := MAKE.match(command))}
    assert named <= make_targets()


def test_hooks_call_make() -> None:
    (repository,) = yaml.safe_load(read(ROOT / ".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        make, target = hook["entry"].split()
        assert (make, hook["language"]) == ("make", "system")
        assert target in make_targets()


def test_the_file_map_names_every_folder_and_nothing_else() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {f"{Path(line).parts[0]}/" for line in tracked.splitlines() if "/" in line}
    for package in ("gateway", "control_plane", "stores"):
        modules = (path.parent for path in ROOT.glob(f"{package}/*/*.py"))
        folders |= {f"{path.relative_to(ROOT)}/" for path in modules}
    named = {
        CODE.findall(row[0])[0]
        for table in tables(DOCS / "architecture.md")
        for row in table.rows
        if CODE.match(row[0])
    }
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert folders <= named


def test_the_tables_of_settings_are_what_the_code_says() -> None:
    """In both languages, with a description of every variable."""
    checked = subprocess.run(
        [sys.executable, "docs/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_openapi_document_is_what_the_code_says() -> None:
    checked = subprocess.run(
        [sys.executable, "clients/openapi.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_every_error_code_is_documented_with_its_status() -> None:
    documented = {
        CODE.findall(code)[0]: int(status)
        for table in tables(DOCS / "api.md")
        if table.heading == "Errors"
        for code, status, _ in table.rows
    }
    assert documented == {error.code: status for error, (status, _) in {**STATUSES, **GATEWAY_STATUSES}.items()}


def test_every_load_is_documented_with_its_budget() -> None:
    (loads,) = (table for table in tables(DOCS / "load-testing.md") if table.heading == "Loads")
    assert [row[:3] for row in loads.rows] == [
        [f"`{budget.name}`", f"{budget.rate:g}", f"{budget.p99_s * 1000:.0f} ms"] for budget in BUDGETS.values()
    ]


@pytest.mark.parametrize("folder", [DOCS / "decisions", ROOT / "training/decisions"], ids=path_of)
def test_every_decision_is_listed_by_its_number_and_title(folder: Path) -> None:
    pages = sorted(page for page in folder.glob("*.md") if page.name != "README.md")
    titles = [re.match(r"# (\d+)\. (.+)", read(page)) for page in pages]
    rows = [[f"[{title[1]}]({page.name})", title[2]] for page, title in zip(pages, titles, strict=True) if title]
    (listed,) = tables(folder / "README.md")
    assert listed.rows == rows
    assert [page.name[:4] for page in pages] == [f"{int(title[1]):04}" for title in titles if title]


def test_a_decision_that_is_superseded_names_the_one_that_holds() -> None:
    """And the other way round, so that a reader of either finds both."""

    def links(words: str) -> set[tuple[str, str]]:
        found = set()
        for page in (DOCS / "decisions").glob("0*.md"):
            status = re.search(r"^Status: .*$", read(page), re.MULTILINE)
            assert status is not None
            for part in status[0].split("; "):
                if re.match(words, part):
                    found |= {(page.name, name) for name in re.findall(r"\((\d{4}-[^)]+)\)", part)}
        return found

    superseding = links("supersedes")
    assert len(superseding) > 5
    assert {(old, new) for new, old in superseding} == links("superseded")


def chinese(page: Path) -> Path:
    return ROOT / "README.zh-CN.md" if page.name == "README.md" else DOCS / "zh" / page.relative_to(DOCS)


def test_every_page_has_a_chinese_counterpart() -> None:
    assert {chinese(page) for page in ENGLISH} == {ROOT / "README.zh-CN.md", *DOCS.glob("zh/**/*.md")}


@pytest.mark.parametrize("page", ENGLISH, ids=path_of)
class TestBothLanguages:
    """A page and its Chinese counterpart correspond."""

    def test_headings_have_the_same_levels(self, page: Path) -> None:
        levels = [[level for level, _ in HEADING.findall(prose(one))] for one in (page, chinese(page))]
        assert levels[0] == levels[1]

    def test_code_blocks_are_identical(self, page: Path) -> None:
        assert FENCE.findall(read(page)) == FENCE.findall(read(chinese(page)))

    def test_tables_have_the_same_rows(self, page: Path) -> None:
        """As many, with the same code in the first column and, of settings, the same defaults."""
        english, translated = ([table.rows for table in tables(one)] for one in (page, chinese(page)))
        assert [[CODE.findall(row[0]) for row in rows] for rows in english] == [
            [CODE.findall(row[0]) for row in rows] for rows in translated
        ]
        assert [[len(row) for row in rows] for rows in english] == [
            [len(row) for row in rows] for rows in translated
        ]
        if page.name == "configuration.md":
            assert [[row[1:-1] for row in rows] for rows in english] == [
                [row[1:-1] for row in rows] for rows in translated
            ]
