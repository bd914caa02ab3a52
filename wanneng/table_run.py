"""One run over a table: the rows that are still pending, the answers in a journal, and the output at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wanneng.errors import CommandError, RequestError
from wanneng.options import label_order, say
from wanneng.tables.answers import MAX_LABELS, Answer
from wanneng.tables.journal import Journal
from wanneng.tables.table import Row, Table
from wanneng.tables.writers import check_target, write_table


class TableRun:
    """`body`: what every text is asked for. `answers` and `notes` of an interrupted run are there again."""

    def __init__(self, table: Table, target: Path, body: Mapping[str, Any], journal: Journal) -> None:
        self._table = table
        self._target = target
        self._body = body
        self._journal = journal
        self.pending = [row for row in askable(table) if row.number not in journal.answers]
        if journal.answers:
            say(f"{target}: {len(journal.answers)} rows are answered already; {len(self.pending)} are left")

    @property
    def notes(self) -> Mapping[str, Any]:
        return self._journal.notes

    def note(self, name: str, value: Any) -> None:
        self._journal.note(name, value)

    def add(self, row: Row, answer: Answer) -> None:
        self._journal.add(row.number, answer)

    def finish(self) -> int:
        """Write the output; how many rows have an error."""
        answers = {**unaskable(self._table), **self._journal.answers}
        write_table(self._target, self._table, answers, label_order(dict(self._body)))
        self._journal.remove()
        refused = sum("error" in answer for answer in answers.values())
        say(f"{self._target}: {len(answers) - refused} rows answered, {refused} refused")
        return refused


@contextmanager
def table_run(source: Path, table: Table, target: Path, body: Mapping[str, Any], kind: str) -> Iterator[TableRun]:
    """Of `kind`, such as `classify`; `CommandError` where the output could not be written."""
    labels = len(label_order(dict(body))) if "labels" in body else MAX_LABELS
    check_target(target, table, labels, entailment="entailment" in body)
    if target.exists() and source.exists() and target.samefile(source):
        raise CommandError(f"{target} is the input; choose another --output")
    with Journal(target, {"kind": kind, "body": body, "texts": _digest(table.rows)}) as journal:
        try:
            yield TableRun(table, target, body, journal)
        except (KeyboardInterrupt, RequestError):
            say(f"{journal.path} keeps {len(journal.answers)} answers; run the same command again to continue")
            raise


def askable(table: Table) -> list[Row]:
    """The rows that have a text."""
    return [row for row in table.rows if row.error is None and row.text.strip()]


def unaskable(table: Table) -> dict[int, Answer]:
    """The errors of the others, by the numbers of their rows."""
    return {row.number: {"error": row.error} for row in table.rows if row.error is not None}


def _digest(rows: Sequence[Row]) -> str:
    texts = json.dumps([(row.number, row.text, row.error) for row in rows])
    return hashlib.sha256(texts.encode()).hexdigest()
