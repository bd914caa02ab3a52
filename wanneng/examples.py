"""Labelled texts from a file: JSON Lines, CSV, Excel, a JSON list, or Label Studio's JSON export."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wanneng import strict_json
from wanneng.errors import CommandError
from wanneng.tables.answers import MAX_LABELS
from wanneng.tables.cells import as_text
from wanneng.tables.encodings import is_malformed
from wanneng.tables.files import decoded, read_bytes
from wanneng.tables.label_studio import is_export, read_export
from wanneng.tables.lists import numbered
from wanneng.tables.readers import SUFFIXES, ReadOptions, Record, fields_of, records_table, table_of
from wanneng.tables.table import Row, Table

MAX_EXAMPLES = 100_000
MAX_TEXT_CHARACTERS = 100_000
"""Of a text; the gateway's own limit by default."""
LABEL_NAMES = (
    *("label", "answer", "gold", "target", "category", "class", "intent", "topic", "sentiment", "tag"),
    *("标签", "类别", "分类", "类目", "意图", "主题", "情感", "答案"),
)
"""Usual names of the column of labels, the likeliest first."""
DETECTED = ReadOptions()


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    label: str | None
    """None: none of the labels."""
    location: str = field(default="", compare=False)
    """For messages, such as `row 7`."""


@dataclass(frozen=True, slots=True)
class Examples:
    """The labelled texts of a file."""

    source: Path
    items: Sequence[Example]
    description: str
    """What was detected, for the user."""

    @property
    def labels(self) -> list[str]:
        """The different ones, in the order in which they occur first."""
        return list(dict.fromkeys(example.label for example in self.items if example.label is not None))

    @property
    def unlabelled(self) -> int:
        """How many texts have none of the labels."""
        return sum(example.label is None for example in self.items)

    def sample(self, count: int) -> Examples:
        """At most `count` of the texts, in their order; always the same ones."""
        if count >= len(self.items):
            return self
        chosen = sorted(random.Random(0).sample(range(len(self.items)), count))  # noqa: S311 - repeatable
        told = f"{self.description}; a sample of {count} of {len(self.items)} texts"
        return replace(self, items=[self.items[position] for position in chosen], description=told)

    def counts(self) -> Counter[str]:
        """Texts by label."""
        return Counter(example.label for example in self.items if example.label is not None)


def read_examples(source: Path, options: ReadOptions = DETECTED, label_column: str | None = None) -> Examples:
    """`-` is standard input; a file without a known ending is JSON Lines.

    A label that is null, missing or an empty cell means none of the labels.

    `CommandError` names the row, line or task that cannot be used; and says so where no text has a label, or there
    are more than `MAX_EXAMPLES` texts or `MAX_LABELS` labels.
    """
    table, labels, kind = _labelled_table(source, options, label_column)
    if len(table.rows) > MAX_EXAMPLES:
        raise CommandError(f"{source} has {len(table.rows)} texts, at most {MAX_EXAMPLES}; use a sample of them")
    items = []
    for row, value in zip(table.rows, labels, strict=True):
        if row.error is None and not row.text.strip():
            continue
        location = f"{kind} {row.number}"
        try:
            items.append(Example(row.text, _checked_label(row, value), location))
        except ValueError as problem:
            raise CommandError(f"{source}: {location}: {problem}") from None
    examples = Examples(source, items, table.description)
    different = len(examples.labels)
    if not different:
        raise CommandError(f"{source} has no labelled text: {table.description}")
    if different > MAX_LABELS:
        raise CommandError(f"{source} has {different} different labels, at most {MAX_LABELS}: {table.description}")
    return examples


def _labelled_table(
    source: Path, options: ReadOptions, label_column: str | None
) -> tuple[Table, Sequence[Any], str]:
    """The table, the label of each row as it stands there, and what a row is called."""
    content = read_bytes(source)
    records = _json_list(source, content, options)
    if records is not None and is_export(records):
        return _tasks(source, records, decoded(source, content, options.encoding).encoding, options, label_column)
    if records is not None:
        encoding = decoded(source, content, options.encoding).encoding
        items = [Record(number, *fields_of(item, "item")) for number, item in enumerate(records, 1)]
        table, kind = records_table(source, items, encoding, "JSON objects", options), "item"
    else:
        suffix = source.suffix.lower()
        as_lines = options.format is None and suffix not in SUFFIXES
        table = table_of(source, content, replace(options, format="jsonl") if as_lines else options)
        kind = "row" if table.is_spreadsheet else "line"
    column = _label_column(source, table, label_column)
    values = [row.cells.get(column) for row in table.rows]
    if table.is_spreadsheet:
        values = [as_text(value) for value in values]
    return _told(table, f"labels are in {column!r}"), values, kind


def _tasks(
    source: Path, records: Sequence[Any], encoding: str, options: ReadOptions, control: str | None
) -> tuple[Table, Sequence[Any], str]:
    export = read_export(source, records, control)
    left_out = [f"left out {count} {reason}" for reason, count in sorted(export.left_out.items())]
    if not export.records:
        raise CommandError(f"{source} has no labelled task: {', '.join(left_out)}")
    table = records_table(source, export.records, encoding, "tasks of Label Studio", options)
    told = "; ".join([f"labels are choices of {export.control!r}", *left_out])
    return _told(table, told), export.choices, "task"


def _told(table: Table, labels: str) -> Table:
    return replace(table, description=f"{table.description}; {labels}")


def _json_list(source: Path, content: bytes, options: ReadOptions) -> list[Any] | None:
    """The items of a file that is one JSON list; None for any other file."""
    if options.format is not None or source.suffix.lower() != ".json":
        return None
    text = decoded(source, content, options.encoding)
    if is_malformed(text.text):
        raise CommandError(f"{source} cannot be read: it is not {text.encoding}")
    try:
        value = strict_json.loads(text.text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{source} cannot be read as JSON: {error}") from None
    if not isinstance(value, list):
        raise CommandError(f"{source} is not a JSON list of objects; name files of one object a line .jsonl")
    return value


def _label_column(source: Path, table: Table, wanted: str | None) -> str:
    names = list(table.columns)
    if wanted is not None:
        if wanted in names:
            return wanted
        if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(names):
            return names[int(wanted) - 1]
        raise CommandError(f"{source}: there is no column {wanted!r}; the columns are {numbered(names)}")
    known = {name.strip().lower(): name for name in reversed(names)}
    found = next((known[name] for name in LABEL_NAMES if name in known), None)
    if found is None:
        raise CommandError(f"{source}: use --label-column to name the column with the labels: {numbered(names)}")
    return found


def _checked_label(row: Row, label: Any) -> str | None:
    """None: none of the labels. `ValueError` says what is wrong with the row."""
    if row.error is not None:
        raise ValueError(row.error)
    if len(row.text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"the text has {len(row.text)} characters, at most {MAX_TEXT_CHARACTERS}")
    if label is not None and not isinstance(label, str):
        raise ValueError("the label is a string, or null for none of these")
    if label is not None and is_malformed(label):
        raise ValueError("the label is malformed; give the file's encoding with --encoding")
    return (label or "").strip() or None
