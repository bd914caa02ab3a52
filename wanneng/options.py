"""Options, tables and the progress display that several commands share."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from wanneng.console import Console
from wanneng.errors import CommandError

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
SHOWN_PAUSE_S = 1.0
PIPE_CHARACTERS = 500
KEY_COLUMNS = ("id", "name", "scopes", "created_at", "expires_at", "last_used_at")
T = TypeVar("T")
err = Console(stderr=True, soft_wrap=True, highlight=False)


def finite(number: float | None) -> float | None:
    """Bounds of options let NaN through, since it is neither below nor above them."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is not a finite number.")
    return number


Labels = Annotated[
    list[str] | None, typer.Option(help="Labels, separated by commas or in several --labels.", show_default=False)
]
LabelSetName = Annotated[
    str | None, typer.Option("--label-set", help="A label set, in place of --labels: tickets, or tickets@3.")
]
Template = Annotated[str | None, typer.Option(help="Hypothesis template, with {} for the label.")]
MultiLabel = Annotated[bool, typer.Option("--multi-label", help="Score each label by itself.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="A lower token limit.")]
SpecialTokens = Annotated[str | None, typer.Option(help="What [SEP] and its like are: model or text.")]
NoTruncation = Annotated[
    bool, typer.Option("--no-truncation", help="Refuse a text that the token limit would cut.")
]
Entailment = Annotated[
    bool, typer.Option("--entailment", help="Tell each label's own probability of entailment too.")
]
TextColumn_ = Annotated[
    str | None, typer.Option("--text-column", help="Column of the texts: its name, or its number from 1.")
]
Header = Annotated[
    bool | None, typer.Option("--header/--no-header", help="Whether the first row names the columns.")
]
FileFormat = Annotated[
    str | None,
    typer.Option("--format", help="Of the input: csv, tsv, xlsx, jsonl or txt; by default its ending's."),
]
Encoding = Annotated[
    str | None, typer.Option(help="Of the input, such as gb18030; by default what it looks like.")
]
Sheet = Annotated[str | None, typer.Option(help="Of an Excel file; by default the one that was open last.")]
WaitS = Annotated[
    float,
    typer.Option(
        "--wait-s",
        min=0,
        callback=finite,
        help="As long as one request waits in all when the gateway says when to retry.",
    ),
]


def request_body(
    labels: Sequence[str] | None,
    label_set: str | None,
    template: str | None,
    multi_label: bool,
    max_tokens: int | None,
    special_tokens: str | None,
    no_truncation: bool,
    entailment: bool,
) -> dict[str, Any]:
    """The fields of the body beside the texts: those that are given; `CommandError` without labels."""
    if not labels and label_set is None:
        raise CommandError("give --labels or --label-set")
    given: dict[str, Any] = {
        "labels": split_labels(labels) if labels else None,
        "label_set": label_set,
        "hypothesis_template": template,
        "multi_label": multi_label or None,
        "max_tokens": max_tokens,
        "special_tokens": special_tokens,
        "truncate": False if no_truncation else None,
        "entailment": entailment or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def split_labels(labels: Sequence[str]) -> str | list[str]:
    """`--labels a,b` as one string for the gateway to split; several `--labels` as a list."""
    return labels[0] if len(labels) == 1 else list(labels)


def label_order(body: dict[str, Any]) -> list[str]:
    """The labels one by one, as they were given."""
    labels = body.get("labels", [])
    return [label.strip() for label in re.split("[,，]", labels)] if isinstance(labels, str) else labels


def table_console() -> Console:
    """As wide as the terminal; wide enough for whole ids where a program reads the output."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_CHARACTERS)


def print_table(rows: Iterable[object], columns: tuple[str, ...]) -> None:
    """The attributes of each row that `columns` name."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(getattr(row, column)) for column in columns))
    table_console().print(table)


def time_option(value: str | None, option: str) -> datetime | None:
    """`CommandError` names the option."""
    try:
        return None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise CommandError(f"{option} is {value!r}; a time such as 2027-01-31T00:00:00Z is needed") from None


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def say(line: str) -> None:
    err.print(f"wanneng: {line}", markup=False)


@dataclass(slots=True)
class Shown:
    """Progress on standard error, including what it is waiting for."""

    progress: Progress
    task: TaskID
    description: str

    def pause(self, seconds: float) -> None:
        """A client's `sleep`: as long as the gateway says."""
        if seconds >= SHOWN_PAUSE_S:
            self.progress.update(self.task, description=f"waiting {seconds:.0f} s, as the gateway says")
        time.sleep(seconds)
        self.progress.update(self.task, description=self.description)

    async def async_pause(self, seconds: float) -> None:
        """As `pause`, for asyncio."""
        if seconds >= SHOWN_PAUSE_S:
            self.progress.update(self.task, description=f"waiting {seconds:.0f} s, as the gateway says")
        await asyncio.sleep(seconds)
        self.progress.update(self.task, description=self.description)

    def track(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, counted."""
        for count, item in enumerate(items, 1):
            yield item
            self.done(count)

    def done(self, count: int, total: int | None = None) -> None:
        """So many, of `total` where that has changed."""
        self.progress.update(self.task, completed=count, total=total)


@contextmanager
def showing(description: str, total: int) -> Iterator[Shown]:
    with Progress(*COLUMNS, console=err, transient=True) as progress:
        yield Shown(progress, progress.add_task(description, total=total), description)
