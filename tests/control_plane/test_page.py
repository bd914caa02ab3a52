"""The pages as they are served; `tests/e2e/test_page.py` has them in a browser."""

from __future__ import annotations

import re

import pytest

from control_plane.api.page import FILES, FOLDER
from control_plane.tenants import MAX_NAME_CHARACTERS, MAX_OVERLAP_S, MAX_QUOTA
from stores.budgets import MAX_BUDGET, TOLD_SHARE
from stores.label_sets import NAME, LabelLimits
from stores.tenants import SCOPES
from tests.fakes.control_plane_app import control_plane
from wanneng.examples import LABEL_NAMES

MEDIA_TYPES = {
    "/": "text/html",
    "/console": "text/html",
    "/docs": "text/html",
    "/ui/app.css": "text/css",
    "/ui/app.js": "text/javascript",
    "/ui/console/app.js": "text/javascript",
    "/ui/console/console.css": "text/css",
    "/ui/docs.js": "text/javascript",
    "/ui/upload.js": "text/javascript",
}
SCRIPTS = sorted(FOLDER.rglob("*.js"))


@pytest.mark.parametrize("path", MEDIA_TYPES)
async def test_each_file_is_served_to_anybody_and_allows_nothing_from_elsewhere(path: str) -> None:
    async with control_plane() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{MEDIA_TYPES[path]}; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_every_file_is_served() -> None:
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == {FOLDER / name for _, name, _ in FILES}


def test_the_page_to_try_it_is_light_and_loads_nothing_of_the_console() -> None:
    own = {path for path in FOLDER.glob("*.*") if path.name != "console.html"}
    assert sum(path.stat().st_size for path in own) < 60_000
    assert all("console/" not in path.read_text(encoding="utf-8") for path in own)


@pytest.mark.parametrize("name", ["index.html", "console.html", "docs.html"])
def test_a_page_has_nothing_inline_and_refers_to_what_is_served(name: str) -> None:
    html = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r" style=| on\w+=|<script>|<style", html)
    served = {path.removeprefix("/") for path, _, _ in FILES} | {"openapi.json", "data:,", "./"}
    linked = {address.removeprefix("/") for address in re.findall(r'(?:href|src)="([^"#]+)"', html)}
    assert linked <= served


def test_a_module_imports_what_is_served() -> None:
    for script in SCRIPTS:
        imported = re.findall(r'(?:from |import\()"(\..*?)"', script.read_text(encoding="utf-8"))
        assert all((script.parent / name).resolve() in SCRIPTS for name in imported), script


def test_scripts_are_short_and_make_no_html_of_what_they_are_told() -> None:
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 200, script
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_every_text_of_the_page_is_in_both_languages() -> None:
    texts = (FOLDER / "texts.js").read_text(encoding="utf-8").partition("const TEXTS = {")[2].partition("\n};")[0]
    chinese, english = texts.split("\n  en: {")
    names = [set(re.findall(r"(?:^|[ ,{])(\w+): (?:\"|\()", language)) for language in (chinese, english)]
    used = set(re.findall(r'data-i18n="(\w+)"', (FOLDER / "index.html").read_text(encoding="utf-8")))
    script = "\n".join(script.read_text(encoding="utf-8") for script in FOLDER.glob("*.js"))
    used |= set(re.findall(r'translate\("(\w+)"\)', script)) - {"codes"}
    assert used - names[0] == set()
    assert used - names[1] == set()


def test_the_words_of_the_console_are_in_its_catalogue_alone() -> None:
    """That each has two languages is seen in the browser."""
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "console").glob("*.js")}
    catalogue = {name: text for name, text in scripts.items() if name.startswith("words-")}
    names = [name for text in catalogue.values() for name in re.findall(r"(\w+): \[", text.partition("{")[2])]
    assert len(names) == len(set(names))
    others = {name: text for name, text in scripts.items() if name not in catalogue}
    assert {name for text in others.values() for name in re.findall(r'(?:say\(|title: )"(\w+)"', text)} <= set(
        names
    )
    # Names of columns that files have are no words of the console.
    said = {name: re.sub(r"/\^.*\$/i", "", text) for name, text in others.items()}
    assert not [name for name, text in said.items() if re.search(r"[\u4e00-\u9fff]", text)]


def one(script: str, pattern: str) -> str:
    """What the script says where it matches; in one place alone."""
    (found,) = re.findall(pattern, (FOLDER / script).read_text(encoding="utf-8"))
    return str(found)


def test_names_and_limits_that_the_console_repeats_are_those_of_the_service() -> None:
    assert one("console/samples.js", r"LABEL_NAME = /\^\((.+)\)\$/i").split("|") == list(LABEL_NAMES)
    assert re.findall(r'"(.+?)"', one("console/tenant.js", r"SCOPES = \[(.+)\]")) == list(SCOPES)
    assert int(one("console/tenant.js", r'max: "(\d+)"')) == MAX_QUOTA
    assert int(one("console/budget.js", r'MOST = "(\d+)"')) == MAX_BUDGET
    assert float(one("console/budget.js", r"TOLD_SHARE = ([\d.]+)")) == TOLD_SHARE
    limits = LabelLimits()
    assert one("console/set-editor.js", r"min: (\d+), max: \d+, step: 1,") == str(limits.min_tokens)
    assert one("console/set-editor.js", r"min: \d+, max: (\d+), step: 1,") == str(limits.max_tokens)
    assert one("console/words-label-sets.js", r'"(\d+ to \d+); ') == f"{limits.min_tokens} to {limits.max_tokens}"
    assert one("console/label-set.js", r'pattern: "(.+?)"').replace(r"\\", "") == NAME.pattern
    assert int(one("console/tenant-keys.js", r"maxlength: (\d+)")) == MAX_NAME_CHARACTERS
    assert int(one("console/tenants.js", r'maxlength: "(\d+)"')) == MAX_NAME_CHARACTERS
    assert 3600 * int(one("console/tenant-keys.js", r"max: (\d+)")) == MAX_OVERLAP_S
