"""Collects the pages of the documentation site in `build/site-sources`, for `make docs`.

A link in a page is relative to the file in the repository, as GitHub resolves it. In the site it leads to a page,
to a page in the other language, or to a copy of the file below `files/`. A link to a folder becomes plain text. A
link to nothing fails the build.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from functools import cache, partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build/site-sources"
LANGUAGES = ("en", "zh")
PAGES_OUTSIDE_DOCS = {
    "en": {
        "README.md": "index.md",
        "CONTRIBUTING.md": "contributing.md",
        "CHANGELOG.md": "changelog.md",
        "helm/wanneng/README.md": "chart.md",
        "embedded/MODEL_CARD.md": "model-card.md",
    },
    "zh": {"README.zh-CN.md": "index.md"},
}
"""Path in the repository → path in the site."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SCHEME = re.compile(r"[a-z]+:")


class BrokenLink(Exception):
    """A page links to a path that the repository does not have."""


def main() -> None:
    """Exit with 1 and one sentence on a broken link."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    try:
        for language in LANGUAGES:
            collect(language, OUTPUT / language)
    except BrokenLink as error:
        sys.exit(f"docs: {error}")


def collect(language: str, folder: Path) -> None:
    """Write the pages of a language and the files that they link to."""
    for path, page in pages(language).items():
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_render(path, page, language, folder), encoding="utf-8")


@cache
def pages(language: str) -> dict[str, str]:
    """Path in the repository → path in the site."""
    if language == "zh":
        found = {f"docs/zh/{path.name}": path.name for path in (ROOT / "docs/zh").glob("*.md")}
        folders = [("docs/zh/runbooks", "runbooks")]
    else:
        found = {f"docs/{path.name}": path.name for path in (ROOT / "docs").glob("*.md")}
        folders = [
            ("docs/decisions", "decisions"),
            ("docs/runbooks", "runbooks"),
            ("training/decisions", "training-decisions"),
        ]
    for folder, name in folders:
        found |= {f"{folder}/{path.name}": f"{name}/{path.name}" for path in (ROOT / folder).glob("*.md")}
    outside = PAGES_OUTSIDE_DOCS[language]
    return found | {path: page for path, page in outside.items() if (ROOT / path).exists()}


def _render(path: str, page: str, language: str, folder: Path) -> str:
    """The page with its links rewritten, except in code blocks."""
    text = (ROOT / path).read_text(encoding="utf-8")
    rewrite = partial(_rewrite_link, path=path, page=page, language=language, folder=folder)
    prose, fences = FENCE.split(text), [*FENCE.findall(text), ""]
    body = "".join(LINK.sub(rewrite, part) + fence for part, fence in zip(prose, fences, strict=True))
    # The language menu (theme/partials/alternate.html) reads it.
    translated = page in pages(_other(language)).values()
    return f"---\ntranslated: true\n---\n{body}" if translated else body


def _rewrite_link(match: re.Match[str], *, path: str, page: str, language: str, folder: Path) -> str:
    image, text, target = match.groups()
    name, hash_sign, anchor = target.partition("#")
    if not name or SCHEME.match(name):
        return match[0]
    linked = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    if (ROOT / linked).is_dir():
        return text
    site, other_site = pages(language), pages(_other(language))
    if linked not in site and linked in other_site:
        # HTML, because the link checker knows one language only.
        root = "../" * _url(page).count("/") + ("zh/" if language == "en" else "../")
        return f'<a href="{root}{_url(other_site[linked])}{hash_sign}{anchor}">{text}</a>'
    resolved = site.get(linked) or _copy(linked, folder, path)
    relative = posixpath.relpath(resolved, posixpath.dirname(page) or ".")
    return f"{image}[{text}]({relative}{hash_sign}{anchor})"


def _copy(linked: str, folder: Path, path: str) -> str:
    """The copy's path in the site."""
    if not (ROOT / linked).is_file():
        raise BrokenLink(f"{path} links to {linked}, which does not exist")
    target = folder / "files" / linked
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / linked, target)
    return f"files/{linked}"


def _url(page: str) -> str:
    """Path of a page's URL in its site."""
    folder, name = posixpath.split(page)
    if name in ("index.md", "README.md"):
        return posixpath.join(folder, "")
    return f"{page.removesuffix('.md')}/"


def _other(language: str) -> str:
    return "en" if language == "zh" else "zh"


if __name__ == "__main__":
    main()
