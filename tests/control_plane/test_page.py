"""The pages as they are served; `tests/e2e/test_page.py` has them in a browser."""

from __future__ import annotations

import re

import pytest

from control_plane.api.page import FILES, FOLDER
from tests.fakes.control_plane_app import control_plane

MEDIA_TYPES = {
    "/": "text/html",
    "/docs": "text/html",
    "/ui/app.css": "text/css",
    "/ui/app.js": "text/javascript",
    "/ui/docs.js": "text/javascript",
    "/ui/upload.js": "text/javascript",
}


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


def test_every_file_is_served_and_together_they_are_light() -> None:
    files = set(FOLDER.iterdir())
    assert files == {FOLDER / name for _, name, _ in FILES}
    assert sum(file.stat().st_size for file in files) < 60_000


@pytest.mark.parametrize("name", ["index.html", "docs.html"])
def test_a_page_has_nothing_inline_and_refers_to_what_is_served(name: str) -> None:
    html = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r" style=| on\w+=|<script>|<style", html)
    served = {path.removeprefix("/") for path, _, _ in FILES} | {"openapi.json", "data:,", "./"}
    linked = {address.removeprefix("/") for address in re.findall(r'(?:href|src)="([^"#]+)"', html)}
    assert linked <= served


def test_a_module_imports_what_is_served() -> None:
    for script in FOLDER.glob("*.js"):
        imported = re.findall(r'^import .* from "(.*)";$', script.read_text(encoding="utf-8"), re.MULTILINE)
        assert {f"ui/{name.removeprefix('./')}" for name in imported} <= {
            path.removeprefix("/") for path, _, _ in FILES
        }


def test_scripts_are_short() -> None:
    assert max(len(script.read_text(encoding="utf-8").splitlines()) for script in FOLDER.glob("*.js")) <= 200


def test_every_text_of_the_page_is_in_both_languages() -> None:
    texts = (FOLDER / "texts.js").read_text(encoding="utf-8").partition("const TEXTS = {")[2].partition("\n};")[0]
    chinese, english = texts.split("\n  en: {")
    names = [set(re.findall(r"(?:^|[ ,{])(\w+): (?:\"|\()", language)) for language in (chinese, english)]
    used = set(re.findall(r'data-i18n="(\w+)"', (FOLDER / "index.html").read_text(encoding="utf-8")))
    script = "\n".join(script.read_text(encoding="utf-8") for script in FOLDER.glob("*.js"))
    used |= set(re.findall(r'translate\("(\w+)"\)', script)) - {"codes"}
    assert used - names[0] == set()
    assert used - names[1] == set()
