"""`wanneng evaluate`: judges models, templates, wordings and label sets on labelled texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from wanneng import options as given
from wanneng import strict_json
from wanneng.errors import CommandError, RequestError
from wanneng.evaluation.engine_target import EngineTarget
from wanneng.evaluation.gateway_target import WAIT_S, GatewayTarget
from wanneng.evaluation.peer_apis import APIS
from wanneng.evaluation.peer_target import PeerTarget
from wanneng.evaluation.report_html import LANGUAGES, as_html
from wanneng.evaluation.report_json import as_json
from wanneng.evaluation.report_table import as_table
from wanneng.evaluation.run import Evaluation, variants
from wanneng.evaluation.run import evaluate as run
from wanneng.evaluation.targets import Target
from wanneng.examples import Examples, read_examples
from wanneng.keys import KeyFile, peer_key, tenant_key
from wanneng.options import Shown, label_order, say, showing, split_labels
from wanneng.settings import gateway_url
from wanneng.tables.outputs import check_output, complete_file
from wanneng.tables.readers import read_options
from wanneng.text_io import shown_name

FORMATS = ("table", "json", "html")
SUFFIXES = {".txt": "table", ".json": "json", ".html": "html"}
THRESHOLDS = (0.5, 0.7, 0.9)
REFUSALS_SHOWN = 5


def evaluate(
    examples: Annotated[
        Path,
        typer.Argument(
            help="Labelled texts: .jsonl, .csv, .tsv, .xlsx, or Label Studio's .json; -: standard input."
        ),
    ],
    engine: Annotated[
        list[Path] | None, typer.Option(help="Folder of an engine, run in this process; may be repeated.")
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option(help="A gateway's address; may be repeated. By default WANNENG_URL.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help=f"Another server, as API=URL; the API is one of {', '.join(APIS)}. May be repeated."),
    ] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="Hypothesis template, with {} for the label; several are compared.")
    ] = None,
    wording: Annotated[
        list[Path] | None,
        typer.Option(help="JSON object of labels and how each is put to the model; several are compared."),
    ] = None,
    label_set: Annotated[
        list[str] | None,
        typer.Option(help="The gateway's label set: tickets, or tickets@3; several are compared."),
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option(help="Labels beside those of the examples, separated by commas.")
    ] = None,
    multi_label: given.MultiLabel = False,
    threshold: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Show coverage and accuracy at it; by default 0.5, 0.7 and 0.9."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate a sample of so many texts.")] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="What is printed: table, json or html.")
    ] = "table",
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", help="Also write a .json, .html or .txt file; may be repeated."),
    ] = None,
    language: Annotated[str, typer.Option(help="Language in which an HTML page opens: en or zh.")] = "en",
    text_column: given.TextColumn_ = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="Column of the labels: its name, its number from 1, or Label Studio's control."),
    ] = None,
    header: given.Header = None,
    input_format: Annotated[
        str | None, typer.Option(help="Of the input: csv, tsv, xlsx or jsonl; by default its ending's.")
    ] = None,
    encoding: given.Encoding = None,
    sheet: given.Sheet = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Let gateways compute anew, never from a cache.")] = False,
    wait_s: given.WaitS = WAIT_S,
    key_file: KeyFile = None,
    peer_key_file: Annotated[
        Path | None, typer.Option(help="File with the peers' key; by default WANNENG_PEER_KEY has the key itself.")
    ] = None,
) -> None:
    """Judge engines, gateways and other servers on labelled texts, and say which difference may be chance.

    The same texts and answers give the same report, byte for byte; times are printed on standard error alone.
    """
    _check_options(output_format, output or (), language, threshold or ())
    read = read_examples(examples, read_options(input_format, encoding, text_column, header, sheet), label_column)
    if limit is not None:
        read = read.sample(limit)
    say(f"{examples}: {read.description}")
    asked_labels = _labels(read, labels)
    wordings = {shown_name(path): _wording(path, asked_labels) for path in wording or ()}
    with showing("evaluating", 0) as shown:
        targets = _targets(engine, url, peer, key_file, peer_key_file, fresh=fresh, wait_s=wait_s, shown=shown)
        asked = variants(targets, asked_labels, template or (), wordings, label_set or (), multi_label=multi_label)
        count, total = 0, len(asked) * len(read.items)

        def progress() -> None:
            nonlocal count
            count += 1
            shown.done(count, total)

        evaluation = run(read, asked_labels, asked, thresholds=threshold or THRESHOLDS, progress=progress)
    for path in output or ():
        _write(path, _rendered(evaluation, SUFFIXES[path.suffix.lower()], language))
    print(_rendered(evaluation, output_format, language), end="")
    for result in evaluation.results:
        rate = len(read.items) / max(result.duration_s, 1e-9)
        say(f"{result.variant.name}: {len(read.items)} texts in {result.duration_s:.1f} s, {rate:.1f} texts/s")
    _tell_refusals(evaluation)


def _targets(
    engines: Sequence[Path] | None,
    urls: Sequence[str] | None,
    peers: Sequence[str] | None,
    key_file: Path | None,
    peer_key_file: Path | None,
    *,
    fresh: bool,
    wait_s: float,
    shown: Shown,
) -> list[Target]:
    """By default the gateway of WANNENG_URL, or of this machine."""
    targets: list[Target] = [EngineTarget(folder) for folder in engines or ()]
    if not urls and not engines and not peers:
        urls = [gateway_url()]
    key = tenant_key(key_file) if urls else None
    targets += [GatewayTarget(url, key, fresh=fresh, wait_s=wait_s, sleep=shown.async_pause) for url in urls or ()]
    key = peer_key(peer_key_file) if peers else None
    for peer in peers or ():
        api, separator, address = peer.partition("=")
        if not separator:
            raise CommandError(f"--peer {peer} is not API=URL, such as tei=http://127.0.0.1:8080")
        targets.append(PeerTarget(api, address, key, wait_s=wait_s, sleep=shown.async_pause))
    return targets


def _labels(examples: Examples, given_labels: Sequence[str] | None) -> list[str]:
    """Those of the examples, then those that are given beside them."""
    added = label_order({"labels": split_labels(given_labels)}) if given_labels else []
    return list(dict.fromkeys([*examples.labels, *(label for label in added if label)]))


def _wording(path: Path, labels: Sequence[str]) -> dict[str, str]:
    try:
        wording = strict_json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"--wording {path} cannot be read: {error}") from None
    if not isinstance(wording, dict) or not all(isinstance(value, str) for value in wording.values()):
        raise CommandError(f'--wording {path} is not a JSON object of strings, such as {{"label": "wording"}}')
    unknown = next((label for label in wording if label not in labels), None)
    if unknown is not None:
        raise CommandError(f"--wording {path} has the label {unknown!r}, which the examples do not have")
    return wording


def _check_options(
    output_format: str, outputs: Sequence[Path], language: str, thresholds: Sequence[float]
) -> None:
    """`CommandError` for what could not be written at the end."""
    # Bounds of options let NaN through, since it is neither below nor above them.
    if any(math.isnan(threshold) for threshold in thresholds):
        raise CommandError("--threshold is not a number; use one from 0 to 1")
    if output_format not in FORMATS:
        raise CommandError(f"--format {output_format!r} is unknown; use one of {', '.join(FORMATS)}")
    if language not in LANGUAGES:
        raise CommandError(f"--language {language!r} is unknown; use one of {', '.join(LANGUAGES)}")
    for path in outputs:
        check_output(path, tuple(SUFFIXES), "the report is printed in any case")


def _rendered(evaluation: Evaluation, output_format: str, language: str) -> str:
    if output_format == "html":
        return as_html(evaluation, language)
    return as_json(evaluation) if output_format == "json" else as_table(evaluation)


def _write(path: Path, content: str) -> None:
    """Whole or not at all."""
    with complete_file(path) as partial:
        partial.write_text(content, encoding="utf-8", newline="")


def _tell_refusals(evaluation: Evaluation) -> None:
    """`RequestError` if any text was refused."""
    refusals = evaluation.refusals
    for location, reason in refusals[:REFUSALS_SHOWN]:
        say(f"{location}: {reason}")
    if refusals:
        raise RequestError(f"{len(refusals)} texts were refused, and count as wrong answers")
