"""Classifies over HTTP and renders answers: bars for a person, JSON lines for a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wanneng.calls import Calls
from wanneng.errors import RequestError

BAR_CELLS = 32
BATCH_TEXTS = 16


class Classifier:
    """The few lines of the gateway's API that the command line needs."""

    def __init__(self, calls: Calls, options: dict[str, Any]) -> None:
        self._calls = calls
        self._options = options

    def classify(self, text: str) -> dict[str, Any]:
        """The gateway's answer for one text; `RequestError` with its reason otherwise."""
        return self._post({"text": text})

    def classify_all(self, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
        """An answer for each text, in order; a line that cannot be classified carries its `error`."""
        iterator = iter(texts)
        while batch := list(islice(iterator, BATCH_TEXTS)):
            try:
                answers = self._post({"texts": batch})["results"]
            except RequestError:
                # One bad line must not lose its neighbours: ask for each by itself.
                answers = [self._one_or_error(text) for text in batch]
            for text, answer in zip(batch, answers, strict=True):
                yield {"text": text} | answer

    def _one_or_error(self, text: str) -> dict[str, Any]:
        try:
            answer = self._post({"text": text})
        except RequestError as error:
            return {"error": str(error)}
        return {key: answer[key] for key in ("labels", "scores", "truncated")}

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._calls.call("POST", "/v1/classify", body | self._options)


def print_bars(console: Console, answer: dict[str, Any]) -> None:
    """One bar a label, best first."""
    table = Table.grid(padding=(0, 1))
    for label, score in zip(answer["labels"], answer["scores"], strict=True):
        filled = round(score * BAR_CELLS)
        bar = Text("█" * filled, style="cyan") + Text("░" * (BAR_CELLS - filled), style="dim")
        table.add_row(Text(label), bar, f"{score:.3f}")
    console.print(table)
    if answer["truncated"]:
        console.print("The text was cut to fit the model's token limit.", style="yellow")


def as_json(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False)


def split_labels(labels: Sequence[str]) -> str | list[str]:
    """`--labels a,b` as one string for the gateway to split; several `--labels` as a list."""
    return labels[0] if len(labels) == 1 else list(labels)
