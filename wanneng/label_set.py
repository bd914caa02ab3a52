"""`wanneng label-set`: judges labels by texts without labels, and lists versions with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from wanneng import options as given
from wanneng.advice.check import Advice, Check, Subject
from wanneng.advice.report import as_json, as_table
from wanneng.advice.wordings import parse
from wanneng.client import Client, LabelSet
from wanneng.client.classify import Options, SpecialTokens
from wanneng.errors import CommandError, RequestError
from wanneng.evaluation.engine_target import EngineTarget
from wanneng.evaluation.gateway_target import WAIT_S, GatewayTarget
from wanneng.evaluation.targets import Scorer
from wanneng.examples import MAX_TEXT_CHARACTERS, Example, Examples
from wanneng.keys import KeyFile, tenant_key
from wanneng.options import Shown, label_order, print_table, say, showing, split_labels
from wanneng.settings import gateway_url
from wanneng.tables.readers import read_options, read_table
from wanneng.tables.table import Table
from wanneng.text_io import shown_name

LIMIT, MAX_LIMIT = 300, 5_000
LEFT_OUT_SHOWN = 5
FOUND = 3
"""The exit code of `--strict`: neither an error (1) nor a wrong option (2)."""
VERSION_COLUMNS = (
    *("version", "labels", "threshold", "texts", "labelled", "accuracy", "none_of_these", "changed"),
    *("compared_with", "model_version", "created_at"),
)
app = typer.Typer(no_args_is_help=True, help="Check labels, and list the versions of a label set.")


@app.callback()
def describe() -> None:
    """Check labels, and list the versions of a label set."""


@app.command()
def check(
    texts: Annotated[
        Path, typer.Argument(help="Texts without labels: .txt, .csv, .tsv, .xlsx or .jsonl; -: standard input.")
    ],
    labels: given.Labels = None,
    label_set: given.LabelSetName = None,
    template: Annotated[
        list[str] | None,
        typer.Option(help="Hypothesis template, with {} for the label; others are compared with the first."),
    ] = None,
    try_: Annotated[
        list[str] | None,
        typer.Option("--try", help="LABEL=WORDING: another wording to try for a label; may be repeated."),
    ] = None,
    engine: Annotated[Path | None, typer.Option(help="Folder of an engine, run in this process.")] = None,
    url: Annotated[str | None, typer.Option(help="The gateway's address; by default WANNENG_URL.")] = None,
    limit: Annotated[
        int,
        typer.Option(min=1, max=MAX_LIMIT, help="Most texts; of more, a sample is taken, always the same one."),
    ] = LIMIT,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help=f"Exit with {FOUND} if a label is confusable or dominant.")
    ] = False,
    text_column: given.TextColumn_ = None,
    header: given.Header = None,
    input_format: Annotated[
        str | None, typer.Option(help="Of the input: txt, csv, tsv, xlsx or jsonl; by default its ending's.")
    ] = None,
    encoding: given.Encoding = None,
    sheet: given.Sheet = None,
    wait_s: given.WaitS = WAIT_S,
    key_file: KeyFile = None,
) -> None:
    """Say which labels are confusable or dominant, and which template and wordings separate them better.

    The same texts and scores give the same output, byte for byte. Exits with 0 whatever is advised; with 1 if
    something could not be asked, or a text was refused.
    """
    if engine is not None and (url is not None or label_set is not None):
        raise CommandError(
            "--engine is a folder, which has no address and no label sets; use --url alone for those"
        )
    table = read_table(texts, read_options(input_format, encoding, text_column, header, sheet))
    say(f"{texts}: {table.description}")
    sample = _sample(texts, table, limit)
    with showing("classifying", 0) as shown:
        scorer, subject = _asked(labels, label_set, template, engine, url, key_file, wait_s, shown)
        wanted = parse(try_ or (), subject.labels)
        checked = Check(scorer, subject, [example.text for example in sample.items], shown.done)
        advice = checked.run(template or (), wanted)
    print(as_json(advice, shown_name(texts), scorer.describe()) if json_ else as_table(advice), end="")
    _tell_refusals(sample, advice)
    if strict and (advice.confusable or advice.dominant):
        raise typer.Exit(FOUND)


@app.command()
def versions(
    label_set: Annotated[str, typer.Argument(help="Name of the label set.")],
    url: Annotated[str | None, typer.Option(help="The gateway's address; by default WANNENG_URL.")] = None,
    key_file: KeyFile = None,
) -> None:
    """List the versions, newest first, each with what it answered to sample texts before it was saved."""
    with Client(url or gateway_url(), tenant_key(key_file)) as client:
        print_table(map(VersionRow, client.label_sets.versions(label_set)), VERSION_COLUMNS)


class VersionRow:
    """A version and its numbers, as a row; None where there are none."""

    def __init__(self, label_set: LabelSet) -> None:
        numbers = label_set.evaluation
        accuracy = None if numbers is None else numbers.accuracy
        self.version = label_set.reference
        self.labels = len(label_set.labels)
        self.threshold = label_set.threshold
        self.texts = numbers and numbers.texts
        self.labelled = numbers and numbers.labelled
        in_sample = " (in sample)" if numbers is not None and numbers.in_sample else ""
        self.accuracy = None if accuracy is None else f"{accuracy:.3f}{in_sample}"
        self.none_of_these = numbers and numbers.none_of_these
        self.changed = numbers and numbers.changed
        self.compared_with = numbers and numbers.compared_with
        self.model_version = numbers and numbers.model_version
        self.created_at = label_set.created_at


def _asked(
    labels: Sequence[str] | None,
    label_set: str | None,
    templates: Sequence[str] | None,
    engine: Path | None,
    url: str | None,
    key_file: Path | None,
    wait_s: float,
    shown: Shown,
) -> tuple[Scorer, Subject]:
    if bool(labels) == (label_set is not None):
        raise CommandError("give either --labels or --label-set")
    first = templates[0] if templates else None
    if labels:
        subject = Subject([label for label in label_order({"labels": split_labels(labels)}) if label], first)
        if engine is not None:
            return EngineTarget(engine), subject
        return GatewayTarget(
            url or gateway_url(), tenant_key(key_file), wait_s=wait_s, sleep=shown.async_pause
        ), subject
    assert label_set is not None
    return _of_label_set(label_set, url or gateway_url(), tenant_key(key_file), wait_s, shown)


def _of_label_set(
    reference: str, url: str, key: str | None, wait_s: float, shown: Shown
) -> tuple[Scorer, Subject]:
    """The present template is the set's own."""
    with Client(url, key, wait_s=wait_s, sleep=shown.pause) as client:
        stored = client.label_sets.get(reference)
    if stored.multi_label:
        raise CommandError(
            f"{stored.reference} scores each label by itself, and several may apply to a text; check sets of "
            "which one label is chosen"
        )
    options: Options = {}
    if stored.max_tokens is not None:
        options["max_tokens"] = stored.max_tokens
    if stored.special_tokens is not None:
        options["special_tokens"] = cast("SpecialTokens", stored.special_tokens)
    subject = Subject(
        [label.label for label in stored.labels],
        stored.hypothesis_template,
        {label.label: label.hypothesis for label in stored.labels if label.hypothesis is not None},
        stored.reference if stored.correction is not None else None,
    )
    return GatewayTarget(url, key, wait_s=wait_s, sleep=shown.async_pause, options=options), subject


def _sample(source: Path, table: Table, limit: int) -> Examples:
    """Texts that can be asked about. `CommandError` if there are none."""
    unit = "row" if table.is_spreadsheet else "line"
    items, left_out = [], []
    for row in table.rows:
        long = len(row.text) > MAX_TEXT_CHARACTERS
        problem = row.error or (long and f"the text has {len(row.text)} characters, at most {MAX_TEXT_CHARACTERS}")
        if problem:
            left_out.append(f"{unit} {row.number}: {problem}; left out")
        elif row.text.strip():
            items.append(Example(row.text, None, f"{unit} {row.number}"))
    _say_some(left_out)
    if not items:
        raise CommandError(f"{source} has no text")
    return Examples(source, items, table.description).sample(limit)


def _say_some(lines: Sequence[str]) -> None:
    for line in lines[:LEFT_OUT_SHOWN]:
        say(line)
    if len(lines) > LEFT_OUT_SHOWN:
        say(f"and {len(lines) - LEFT_OUT_SHOWN} more")


def _tell_refusals(sample: Examples, advice: Advice) -> None:
    """`RequestError` if any text was refused."""
    _say_some([f"{sample.items[position].location}: {reason}" for position, reason in advice.refusals])
    if advice.refusals:
        raise RequestError(f"{len(advice.refusals)} texts were refused, and are left out")
