"""Writes the tables of settings in docs/configuration.md and its Chinese counterpart: `make docs-reference`.

Names, defaults and English descriptions come from the settings classes and the docstrings of their fields, Chinese
descriptions from docs/zh/settings.yaml. `--check` writes nothing and exits with 1 if a page is out of date.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from control_plane.settings import Settings as ControlPlaneSettings
from control_plane.settings import WorkerSettings
from gateway.settings import Settings as GatewaySettings
from stores.label_sets import LabelLimits
from wanneng.settings import ServeSettings
from web.schemas import field_docstrings
from web.settings import ServerSettings

ROOT = Path(__file__).parents[1]
CATALOGUE = ROOT / "docs/zh/settings.yaml"
TABLES: Mapping[str, tuple[type, ...]] = {
    "serve": (ServeSettings,),
    "gateway": (GatewaySettings,),
    "control-plane": (ControlPlaneSettings,),
    "worker": (WorkerSettings,),
    "shared": (ServerSettings, LabelLimits),
}
"""Each table has the fields that these classes declare themselves."""
HEADS = {"en": ("variable", "default", "meaning"), "zh": ("变量", "默认值", "含义")}
PAGES = {"en": ROOT / "docs/configuration.md", "zh": ROOT / "docs/zh/configuration.md"}
TABLE = re.compile(r"(<!-- settings: ([a-z-]+) -->\n).*?(<!-- end of settings -->)", re.DOTALL)


class Setting(NamedTuple):
    """A field: its variable, its default as the table shows it, and its docstring."""

    variable: str
    default: str
    description: str


def main() -> None:
    """Write the pages that exist, or check them."""
    for language, page in PAGES.items():
        if not page.exists():
            continue
        before = page.read_text(encoding="utf-8")
        after = render(before, language)
        if before == after:
            continue
        if "--check" in sys.argv:
            sys.exit(f"{page.relative_to(ROOT)} is out of date: run `make docs-reference`")
        page.write_text(after, encoding="utf-8")


def render(text: str, language: str) -> str:
    """The page with every table between its two comments replaced."""
    describe = _chinese() if language == "zh" else _english

    def table(match: re.Match[str]) -> str:
        rows = [HEADS[language], ("---", "---", "---")]
        rows += [(f"`{s.variable}`", s.default, describe(s)) for s in settings(*TABLES[match[2]])]
        lines = ("| " + " | ".join(row).replace("|  |", "| |") + " |\n" for row in rows)
        return f"{match[1]}\n{''.join(lines)}\n{match[3]}"

    return TABLE.sub(table, text)


def settings(*classes: type) -> Iterator[Setting]:
    """The fields that the classes declare, without those that they inherit."""
    for cls in classes:
        defaults = _defaults(cls)
        for name, description in field_docstrings(cls).items():
            yield Setting(f"WANNENG_{name.upper()}", _shown(defaults[name]), description)


def _defaults(cls: type) -> dict[str, object]:
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else msgspec.structs.fields(cls)
    return {field.name: field.default for field in fields}


def _shown(default: object) -> str:
    if default in (None, "", (), msgspec.NODEFAULT):
        return ""
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"
    if isinstance(default, Path):
        return f"`{default.relative_to(ROOT)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _english(setting: Setting) -> str:
    if not setting.description:
        sys.exit(f"{setting.variable} has no description: add a docstring below its field")
    return setting.description


def _chinese() -> Callable[[Setting], str]:
    catalogue: dict[str, str] = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))

    def describe(setting: Setting) -> str:
        if setting.variable not in catalogue:
            sys.exit(f"{setting.variable} has no Chinese description: add it to {CATALOGUE.relative_to(ROOT)}")
        return catalogue[setting.variable]

    known = {setting.variable for classes in TABLES.values() for setting in settings(*classes)}
    for variable in catalogue.keys() - known:
        sys.exit(f"{CATALOGUE.relative_to(ROOT)} describes {variable}, which no process reads")
    return describe


if __name__ == "__main__":
    main()
