"""`wanneng batch`: a file of texts as a batch, its progress, and the same table with the answers added."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as Grid

from wanneng import options as given
from wanneng.client import Batch, BatchResult, Client
from wanneng.errors import CommandError, RequestError
from wanneng.keys import KeyFile, tenant_key
from wanneng.options import Shown, say, showing, table_console
from wanneng.settings import ServeSettings
from wanneng.table_run import TableRun, table_run
from wanneng.tables.readers import read_options, read_table
from wanneng.tables.table import Row
from wanneng.text_io import shown_name

app = typer.Typer(no_args_is_help=True, help="Classify files in the background, at low priority.")

LOCAL_URL = ServeSettings().url
BATCH_ID = "batch_id"
OF_A_REQUEST = frozenset({"pairs", "model", "request_id", "label_set", "usage"})
"""Fields of an answer that concern the request, not the text."""
_Url = Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway's address.")]
_Id = Annotated[str, typer.Argument(help="Id of the batch.")]


@app.command()
def run(
    source: Annotated[Path, typer.Argument(help="File of texts: .csv, .tsv, .xlsx, .jsonl, or lines.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The table with the answers: .csv, .tsv, .xlsx or .jsonl.")
    ],
    labels: given.Labels = None,
    label_set: given.LabelSetName = None,
    template: given.Template = None,
    multi_label: given.MultiLabel = False,
    max_tokens: given.MaxTokens = None,
    special_tokens: given.SpecialTokens = None,
    no_truncation: given.NoTruncation = False,
    entailment: given.Entailment = False,
    text_column: given.TextColumn_ = None,
    header: given.Header = None,
    file_format: given.FileFormat = None,
    encoding: given.Encoding = None,
    sheet: given.Sheet = None,
    url: _Url = LOCAL_URL,
    key_file: KeyFile = None,
) -> None:
    """Upload a file, wait until its batch is done, and write the table with the answers.

    After an interruption, run the command again to wait for the same batch.
    """
    body = given.request_body(
        labels, label_set, template, multi_label, max_tokens, special_tokens, no_truncation, entailment
    )
    table = read_table(source, read_options(file_format, encoding, text_column, header, sheet))
    say(f"{source}: {table.description}")
    with (
        table_run(source, table, output, body, "batch") as started,
        showing("waiting", len(started.pending)) as shown,
    ):
        with _client(url, key_file) as client:
            if started.pending:
                batch = client.batches.wait(
                    _batch_id(client, started, body, shown_name(source)), progress=_progress(shown)
                )
                _take_results(client, started, batch)
        refused = started.finish()
    if refused:
        raise RequestError(f"{refused} of {len(table.rows)} lines were refused; each says why in `error`")


@app.command("list")
def list_(url: _Url = LOCAL_URL, key_file: KeyFile = None) -> None:
    """List the batches, newest first."""
    with _client(url, key_file) as client:
        grid = Grid("id", "status", "lines", "completed", "failed", "source", box=None, pad_edge=False)
        for batch in client.batches.list():
            counts = (str(count) for count in (batch.total, batch.completed, batch.failed))
            grid.add_row(batch.id, batch.status, *counts, batch.metadata.get("source", ""))
        table_console().print(grid)


@app.command()
def show(batch_id: _Id, url: _Url = LOCAL_URL, key_file: KeyFile = None) -> None:
    """Show the progress of a batch."""
    with _client(url, key_file) as client:
        batch = client.batches.get(batch_id)
        print(f"{batch.id} {batch.status}: {batch.completed} of {batch.total} lines done, {batch.failed} failed")
        for error in batch.errors:
            print(error)


@app.command()
def cancel(batch_id: _Id, url: _Url = LOCAL_URL, key_file: KeyFile = None) -> None:
    """Cancel a batch; results so far are kept."""
    with _client(url, key_file) as client:
        print(client.batches.cancel(batch_id).status)


@app.command()
def results(batch_id: _Id, url: _Url = LOCAL_URL, key_file: KeyFile = None) -> None:
    """Print the results of a batch so far, as JSON lines."""
    with _client(url, key_file) as client:
        for result in client.batches.results(client.batches.get(batch_id)):
            print(json.dumps({"custom_id": result.custom_id, **_answer(result)}, ensure_ascii=False))


@contextmanager
def _client(url: str, key_file: Path | None) -> Iterator[Client]:
    with Client(url, tenant_key(key_file)) as client:
        yield client


def _batch_id(client: Client, started: TableRun, body: Mapping[str, Any], name: str) -> str:
    """The id of the batch that an interrupted run created, or of a new one."""
    known = started.notes.get(BATCH_ID)
    if isinstance(known, str):
        say(f"waiting for {known}, which was created before")
        return known
    lines = _lines(started.pending, body)
    file_id = client.batches.upload(lines, f"{name}.jsonl")
    # One creation, however often it is sent: its answer may be lost.
    key = hashlib.sha256(file_id.encode() + lines).hexdigest()
    batch = client.batches.create(file_id, idempotency_key=key, metadata={"source": name[:500]})
    started.note(BATCH_ID, batch.id)
    say(f"{batch.id}: {len(started.pending)} lines")
    return batch.id


def _lines(rows: Sequence[Row], body: Mapping[str, Any]) -> bytes:
    """A request for each row, with its number as `custom_id`."""
    requests = (
        {"custom_id": str(row.number), "method": "POST", "url": "/v1/classify", "body": {"text": row.text, **body}}
        for row in rows
    )
    return b"".join(json.dumps(request, ensure_ascii=False).encode() + b"\n" for request in requests)


def _take_results(client: Client, started: TableRun, batch: Batch) -> None:
    """`CommandError` where some rows have none; the next run makes another batch of these."""
    found = {result.custom_id: _answer(result) for result in client.batches.results(batch)}
    answered = [row for row in started.pending if str(row.number) in found]
    for row in answered:
        started.add(row, found[str(row.number)])
    if len(answered) < len(started.pending):
        started.note(BATCH_ID, None)
        why = f": {'; '.join(batch.errors)}" if batch.errors else ""
        raise CommandError(
            f"{batch.id} is {batch.status} with {len(answered)} of {len(started.pending)} lines answered{why}; "
            "run the same command again to send the others in another batch"
        )


def _answer(result: BatchResult) -> Mapping[str, Any]:
    """What `/v1/classify` says of the text, without what it says of the request."""
    if result.error is not None:
        return {"error": result.error}
    return {name: value for name, value in result.answer.items() if name not in OF_A_REQUEST}


def _progress(shown: Shown) -> Callable[[Batch], None]:
    return lambda batch: shown.done(batch.completed + batch.failed, batch.total or None)
