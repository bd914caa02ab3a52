"""Writes the table of helm/wanneng/README.md from the comments of values.yaml: `make chart-readme`.

A comment belongs to the key below it. `--check` compares instead of writing, `--undocumented` lists keys without.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

CHART = Path(__file__).parent / "wanneng"
README = CHART / "README.md"
BEGIN, END = "<!-- values: made by `make chart-readme` -->\n", "<!-- end of values -->\n"
KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z]\w*):(?: (?P<value>.*))?")


def entries() -> Iterator[tuple[str, str, str]]:
    """Path, default and meaning of every key; of a key with keys below it the meaning alone."""
    path: list[str] = []
    comment: list[str] = []
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        found = KEY.fullmatch(line)
        if line.lstrip().startswith("# "):
            comment.append(line.strip().removeprefix("# "))
        elif found is None:
            comment = []
        else:
            depth = len(found["indent"]) // 2
            path[depth:] = [found["name"]]
            below = lines[number + 1] if number + 1 < len(lines) else ""
            opens = not found["value"] and len(below) - len(below.lstrip()) > len(found["indent"])
            items = opens and below.lstrip().startswith("-")
            default = below.strip().removeprefix("- ") if items else found["value"] or ""
            yield ".".join(path), f"[{default}]" if items else default, " ".join(comment)
            comment = []


def table() -> str:
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, default, meaning in entries():
        if default or meaning:
            shown = f"`{default}`" if default and default != '""' else ""
            rows.append(f"| `{path}` | {shown} | {meaning} |".replace("|  |", "| |"))
    return "\n".join(rows) + "\n"


def main() -> None:
    if "--undocumented" in sys.argv:
        for path, default, meaning in entries():
            if default and not meaning:
                print(path)
        return
    before = README.read_text(encoding="utf-8")
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    after = head + BEGIN + "\n" + table() + "\n" + END + tail
    if "--check" in sys.argv and after != before:
        sys.exit(f"{README} is not what values.yaml says: run `make chart-readme`")
    README.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
