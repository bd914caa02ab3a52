"""The command `wanneng calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from wanneng.client import Client, Correction, LabelSet
from wanneng.console import Console
from wanneng.errors import CommandError
from wanneng.examples import Example, read_examples
from wanneng.keys import KeyFile, tenant_key
from wanneng.options import finite, say, showing
from wanneng.settings import ServeSettings
from wanneng.tables.readers import ReadOptions, read_table

if TYPE_CHECKING:
    from wanneng.calibration.label_logits import TextLogits
    from wanneng.calibration.learning import Prediction, Threshold

MAX_THRESHOLDS_SHOWN = 12
out = Console()


def calibrate(
    label_set: Annotated[str, typer.Argument(help="Name of the label set.")],
    examples: Annotated[
        Path | None,
        typer.Option(
            help="Labelled texts: .jsonl, .csv, .xlsx, or Label Studio's .json; no label: none of these."
        ),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Texts without labels, for what each label scores on average.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option(min=0, max=1, callback=finite, help="Lowest precision; by default the best F1.")
    ] = None,
    only_threshold: Annotated[
        bool, typer.Option("--only-threshold", help="Learn no correction; keep the one that the set has.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Make a version of the set with what was learned and its numbers.")
    ] = False,
    url: Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway's address.")] = ServeSettings().url,
    key_file: KeyFile = None,
) -> None:
    """Learn a correction of a label set's scores, and the threshold below which a text is none of its labels."""
    try:
        from wanneng.calibration import learning  # noqa: PLC0415
        from wanneng.calibration.label_logits import ask, is_one_by_one  # noqa: PLC0415
        from wanneng.calibration.numbers import evaluation_of  # noqa: PLC0415
    except ModuleNotFoundError:
        raise CommandError("NumPy is missing: run pip install '.[calibration]' in a checkout") from None
    if examples is None and (texts is None or only_threshold):
        raise CommandError("give --examples FILE, or --texts FILE for a correction without labels")
    labelled: Sequence[Example] = ()
    if examples is not None:
        found = read_examples(examples)
        say(f"{examples}: {found.description}")
        labelled = found.items
    unlabelled = [] if texts is None else _texts(texts)
    with Client(url, tenant_key(key_file)) as client:
        current = client.label_sets.get(label_set)
        if texts is not None and is_one_by_one(current):
            raise CommandError(
                "--texts is for sets of which one label is chosen: how often each label of this one applies is "
                "what its scores say"
            )
        asked = [example.text for example in labelled] + unlabelled
        with showing("classifying", len(asked)) as shown:
            logits = list(shown.track(ask(client, current, asked)))
        of_labelled, of_texts = logits[: len(labelled)], logits[len(labelled) :]
        correction, threshold = current.correction, current.threshold
        if not only_threshold:
            correction = _learned(current, labelled, of_labelled, of_texts)
        if labelled:
            threshold = _threshold(learning.predictions(current, labelled, of_labelled, correction), precision)
        if keep:
            at = datetime.now(UTC)
            numbers = evaluation_of(current, labelled, logits, correction, threshold, at)
            print(learning.store(client, current, threshold, correction, numbers))


def _learned(
    current: LabelSet, labelled: Sequence[Example], logits: Sequence[TextLogits], texts: Sequence[TextLogits]
) -> Correction | None:
    from wanneng.calibration import correction, learning  # noqa: PLC0415

    if not labelled:
        print("correction: halved means; without labelled texts nothing says whether it helps")
        return correction.halved_means(learning.as_array(texts))
    try:
        examples = learning.examples_of(current, labelled, logits, texts)
    except learning.TooFewExamples as problem:
        say(f"{problem}; the set's correction stays as it is")
        return current.correction
    learned, judgements = correction.learn(examples)
    table = Table("", "correction", "accuracy", "loss lower by", "± error", box=None, pad_edge=False)
    table.add_row("", "none", f"{examples.accuracy:.3f}", "", "")
    best = correction.best(judgements)
    for judgement in judgements:
        numbers = (judgement.accuracy, judgement.gain, judgement.standard_error)
        mark = "→" if judgement is best else ""
        table.add_row(mark, judgement.candidate.name, *(f"{number:.3f}" for number in numbers))
    out.print(table)
    print(
        "no correction: none is better on texts that it was not learned from"
        if best is None
        else f"correction: {best.candidate.name}"
    )
    return learned


def _threshold(predictions: Sequence[Prediction], precision: float | None) -> float:
    from wanneng.calibration.learning import choose, thresholds  # noqa: PLC0415

    candidates = thresholds(predictions)
    chosen = choose(candidates, precision)
    _print_thresholds(candidates, chosen)
    print(
        f"threshold {chosen.value:.4f}: precision {chosen.precision:.3f}, recall {chosen.recall:.3f}, "
        f"{chosen.accepted} of {len(predictions)} texts accepted"
    )
    return round(chosen.value, 4)


def _texts(source: Path) -> list[str]:
    table = read_table(source, ReadOptions())
    say(f"{source}: {table.description}")
    texts = [row.text for row in table.rows if row.error is None and row.text.strip()]
    if not texts:
        raise CommandError(f"{source} has no text")
    return texts


def _print_thresholds(candidates: Sequence[Threshold], chosen: Threshold) -> None:
    """Some of them, from the lowest to the highest; the chosen one is marked."""
    step = max(1, len(candidates) // MAX_THRESHOLDS_SHOWN)
    shown = sorted({*candidates[::step], chosen}, key=lambda threshold: threshold.value)
    table = Table("", "threshold", "precision", "recall", "F1", "accepted", box=None, pad_edge=False)
    for threshold in shown:
        numbers = (threshold.value, threshold.precision, threshold.recall, threshold.f1)
        mark = "→" if threshold == chosen else ""
        table.add_row(mark, *(f"{number:.3f}" for number in numbers), str(threshold.accepted))
    out.print(table)
