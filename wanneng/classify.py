"""`wanneng classify`: one text as bars or JSON, or a file of texts as the same table with the answers added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as Grid
from rich.text import Text

from wanneng import options as given
from wanneng.client import Classification, Client
from wanneng.client.classify import PATH
from wanneng.console import Console
from wanneng.errors import CommandError, RequestError
from wanneng.keys import KeyFile, tenant_key
from wanneng.options import Shown, say, showing
from wanneng.settings import ServeSettings
from wanneng.table_run import TableRun, askable, table_run, unaskable
from wanneng.tables.answers import Answer
from wanneng.tables.readers import read_options, read_table
from wanneng.tables.table import Table
from wanneng.tables.writers import json_line

BAR_CELLS = 32
BAR, PLAIN_BAR = ("█", "░"), ("#", "-")
"""The second for locales that lack the first, such as GBK."""
WAIT_S = 3_600.0
"""Of a file: nobody waits at the screen."""
out = Console()


def classify(
    text: Annotated[str | None, typer.Argument(help="The text; or give --input.")] = None,
    labels: given.Labels = None,
    label_set: given.LabelSetName = None,
    template: given.Template = None,
    multi_label: given.MultiLabel = False,
    max_tokens: given.MaxTokens = None,
    special_tokens: given.SpecialTokens = None,
    no_truncation: given.NoTruncation = False,
    entailment: given.Entailment = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute anew, never from a cache.")] = False,
    url: Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway's address.")] = ServeSettings().url,
    key_file: KeyFile = None,
    as_json_: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    input_: Annotated[
        Path | None,
        typer.Option(
            "--input", "-i", help="File of texts: .csv, .tsv, .xlsx, .jsonl, or lines; -: standard input."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The table with the answers: .csv, .tsv, .xlsx or .jsonl."),
    ] = None,
    text_column: given.TextColumn_ = None,
    header: given.Header = None,
    file_format: given.FileFormat = None,
    encoding: given.Encoding = None,
    sheet: given.Sheet = None,
    wait_s: given.WaitS = WAIT_S,
) -> None:
    """Classify a text, or each row of a file.

    An interrupted command with --output continues when it is run again.
    """
    body = given.request_body(
        labels, label_set, template, multi_label, max_tokens, special_tokens, no_truncation, entailment
    )
    if (text is None) == (input_ is None):
        raise CommandError("give either a text or --input FILE")
    if text is not None:
        with Client(url, tenant_key(key_file)) as client:
            answer = _classify_one(client, text, body, fresh=fresh)
        if as_json_:
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print_bars(out, answer)
        return
    assert input_ is not None
    table = read_table(input_, read_options(file_format, encoding, text_column, header, sheet))
    say(f"{input_}: {table.description}")
    asked = body | ({"fresh": True} if fresh else {})
    with (
        showing("classifying", len(table.rows)) as shown,
        Client(url, tenant_key(key_file), wait_s=wait_s, sleep=shown.pause) as client,
    ):
        if output is None:
            refused = print_answers(client, table, asked, shown)
        else:
            with table_run(input_, table, output, body, "classify") as run:
                answer_rows(client, run, asked, shown)
                refused = run.finish()
    if refused:
        raise RequestError(f"{refused} of {len(table.rows)} lines were refused; each says why in `error`")


def answer_rows(client: Client, run: TableRun, body: dict[str, Any], shown: Shown) -> None:
    """Ask for the rows of `run` that are pending."""
    shown.done(0, len(run.pending))
    found = client.stream((row.text for row in run.pending), **body)
    for count, (row, answer) in enumerate(zip(run.pending, found, strict=True), 1):
        run.add(row, _answer(answer))
        shown.done(count)


def print_answers(client: Client, table: Table, body: dict[str, Any], shown: Shown) -> int:
    """Each row with its answer as a line of JSON, in order; how many were refused."""
    found = client.stream((row.text for row in askable(table)), **body)
    asked, errors, refused = {row.number for row in askable(table)}, unaskable(table), 0
    for count, row in enumerate(table.rows, 1):
        answer = _answer(next(found)) if row.number in asked else errors.get(row.number, {})
        refused += "error" in answer
        print(json_line(row, answer))
        shown.done(count)
    return refused


def print_bars(console: Console, answer: dict[str, Any]) -> None:
    """One bar a label, best first."""
    full, empty = BAR if _can_print(console, "".join(BAR)) else PLAIN_BAR
    grid = Grid.grid(padding=(0, 1))
    for label, score in zip(answer["labels"], answer["scores"], strict=True):
        filled_cells = round(score * BAR_CELLS)
        bar = Text(full * filled_cells, style="cyan") + Text(empty * (BAR_CELLS - filled_cells), style="dim")
        grid.add_row(Text(label), bar, f"{score:.3f}")
    console.print(grid)
    if answer["truncated"]:
        console.print("The text was cut to fit the model's token limit.", style="yellow")
    if "unknown_share" in answer:
        console.print(
            f"The model does not know {answer['unknown_share']:.0%} of the text's tokens.", style="yellow"
        )
    if "unknown_labels" in answer:
        labels = ", ".join(answer["unknown_labels"])
        console.print(
            f"The model does not know all tokens of these labels: {labels}.", style="yellow", markup=False
        )


def _can_print(console: Console, characters: str) -> bool:
    try:
        characters.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _classify_one(client: Client, text: str, body: dict[str, Any], *, fresh: bool) -> dict[str, Any]:
    """As the gateway answers."""
    headers = {"Cache-Control": "no-cache"} if fresh else {}
    return client.request("POST", PATH, json={"text": text} | body, headers=headers, changes=False)


def _answer(found: Classification) -> Answer:
    return found.answer if found.error is None else {"error": str(found.error)}
