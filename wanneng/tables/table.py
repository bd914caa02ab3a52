"""A table of texts: its rows, its columns, which of them holds the texts, and whether its first row names them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wanneng.errors import CommandError
from wanneng.tables.lists import numbered

TEXT_NAME = re.compile(
    r"text|texts|content|sentence|comment|review|message|feedback|question|body|query"
    r"|\w{0,6}(文本|内容|评论|评价|留言|反馈|描述|正文|原文|诉求|句子|问题|弹幕)(内容|文本|描述)?",
    re.IGNORECASE,
)
"""Usual names of the column of texts."""
OTHER_NAME = re.compile(
    r"id|no|label|labels|date|time|name|title|url|score|star|stars|user|source|category"
    r"|序号|编号|日期|时间|标签|类别|分类|用户|姓名|标题|来源|评分|星级|订单号|\w{1,4}(编号|日期|时间|名称)",
    re.IGNORECASE,
)
"""Usual names of other columns."""
NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?%?")
ROWS_THAT_TELL = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file, and its text."""

    number: int
    """From 1: the number of the row in a table, or of the line in a file of lines."""
    cells: Mapping[str, Any]
    text: str
    error: str | None = None
    """Why the row has no text that can be classified."""


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Row]
    description: str
    """What was detected, for the user."""
    is_spreadsheet: bool
    """Whether the cells came from CSV or Excel."""


def choose_column(names: Sequence[str], wanted: str | None, samples: Sequence[str] = ()) -> int:
    """The column of the texts, by name or by number from 1. `CommandError` lists the columns.

    Without `wanted`, it is the only column, or the first one with a usual name.
    """
    if wanted is not None:
        if wanted in names:
            return names.index(wanted)
        if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(names):
            return int(wanted) - 1
        raise CommandError(f"there is no column {wanted!r}; the columns are {numbered(names, samples)}")
    if len(names) == 1:
        return 0
    called = [position for position, name in enumerate(names) if TEXT_NAME.fullmatch(name.strip())]
    if called:
        return called[0]
    raise CommandError(f"use --text-column to name the column with the texts: {numbered(names, samples)}")


def has_header(records: Sequence[Sequence[str]], wanted: str | None) -> bool:
    """Whether the first row looks like a header."""
    first = [cell.strip() for cell in records[0]]
    if wanted is not None and wanted in first:
        return True
    if len(set(first)) < len(first) or "" in first:
        return False
    if any(TEXT_NAME.fullmatch(name) or OTHER_NAME.fullmatch(name) for name in first):
        return True
    below = records[1:ROWS_THAT_TELL]
    columns = [[row[position].strip() for row in below if position < len(row)] for position in range(len(first))]
    return any(
        not NUMBER.fullmatch(name) and any(column) and all(NUMBER.fullmatch(cell) for cell in column if cell)
        for name, column in zip(first, columns, strict=True)
    )


def unique(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """The names, with a number added to those that are empty or already taken."""
    seen = set(taken)
    chosen = []
    for position, name in enumerate(names, 1):
        candidate, number = name or f"column_{position}", 2
        while candidate in seen:
            candidate, number = f"{name or 'column'}_{number}", number + 1
        seen.add(candidate)
        chosen.append(candidate)
    return chosen
