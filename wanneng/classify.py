"""`wanneng classify`: asks for texts, and renders answers as bars for a person or JSON lines for a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wanneng.client import Client
from wanneng.client.classify import PATH, groups
from wanneng.errors import RequestError

BAR_CELLS = 32
RESULT_FIELDS = frozenset({"labels", "scores", "truncated", "cut", "none_of_these", "entailment"})
"""What an answer says of its text; the rest is about the request."""


class Classifier:
    """Answers as the gateway writes them; `options` are the fields of the body beside the texts."""

    def __init__(self, client: Client, options: dict[str, Any]) -> None:
        self._client = client
        self._options = options

    def classify(self, text: str) -> dict[str, Any]:
        """The answer for one text; `RequestError` with the reason otherwise."""
        return self._post({"text": text})

    def classify_all(self, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
        """An answer for each text, in order; a line that cannot be classified carries its `error`."""
        for group in groups(texts):
            try:
                answers = self._post({"texts": group})["results"]
            except RequestError:
                # One bad line must not lose its neighbours: ask for each by itself.
                answers = [self._answer_or_error(text) for text in group]
            for text, answer in zip(group, answers, strict=True):
                yield {"text": text} | answer

    def _answer_or_error(self, text: str) -> dict[str, Any]:
        try:
            answer = self._post({"text": text})
        except RequestError as error:
            return {"error": str(error)}
        return {name: value for name, value in answer.items() if name in RESULT_FIELDS}

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._client.request("POST", PATH, json=body | self._options, changes=False)


def print_bars(console: Console, answer: dict[str, Any]) -> None:
    """One bar a label, best first."""
    table = Table.grid(padding=(0, 1))
    for label, score in zip(answer["labels"], answer["scores"], strict=True):
        filled_cells = round(score * BAR_CELLS)
        bar = Text("█" * filled_cells, style="cyan") + Text("░" * (BAR_CELLS - filled_cells), style="dim")
        table.add_row(Text(label), bar, f"{score:.3f}")
    console.print(table)
    if answer["truncated"]:
        console.print("The text was cut to fit the model's token limit.", style="yellow")


def as_json(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False)


def split_labels(labels: Sequence[str]) -> str | list[str]:
    """`--labels a,b` as one string for the gateway to split; several `--labels` as a list."""
    return labels[0] if len(labels) == 1 else list(labels)
