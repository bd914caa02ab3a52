"""The table of promises and entrances; `python -m tests.gateway.api.promises_table` writes it into docs/api.md."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.api.entrances import ENTRANCES, Entrance
from tests.gateway.api.lines import CELLS, NAMES
from tests.gateway.api.promises import PROMISES, Promise

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = {"en": DOCS / "api.md", "zh": DOCS / "zh/api.md"}
BEGIN, END = "<!-- promises -->\n", "<!-- end of promises -->\n"
ONE_TEXT = ("one text per request", "一个请求只有一条文本")
EXCEPTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("limit on the number of texts", "`/v2` JSON"): ONE_TEXT,
    ("limit on the number of texts", "`/v2` binary"): ONE_TEXT,
}
"""Where a promise has no meaning, and why, in English and Chinese."""
TITLE = {"en": "guarantee", "zh": "保证"}


def is_checked(promise: Promise, entrance: Entrance) -> bool:
    return (promise.english, entrance.name) not in EXCEPTIONS


def table(language: str) -> str:
    chinese = language == "zh"
    lines = [
        " | ".join(
            ["", TITLE[language], *(entrance.name for entrance in ENTRANCES), *NAMES[language], ""]
        ).strip(),
        "| --- " * (len(ENTRANCES) + len(NAMES[language]) + 1) + "|",
    ]
    for promise in PROMISES:
        cells = [promise.chinese if chinese else promise.english]
        cells += [
            "✓" if is_checked(promise, entrance) else EXCEPTIONS[promise.english, entrance.name][chinese]
            for entrance in ENTRANCES
        ]
        cells += ["✓" if isinstance(cell, str) else cell[chinese] for cell in CELLS[promise.english]]
        lines.append(" | ".join(["", *cells, ""]).strip())
    return "\n".join(lines) + "\n"


def written_table(language: str) -> str:
    return PAGES[language].read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip("\n") + "\n"


def write() -> None:
    for language, page in PAGES.items():
        before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        page.write_text(f"{before}{begin}\n{table(language)}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    write()
