"""`wanneng classify`: asks for texts, and renders answers as bars for a person or JSON lines for a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wanneng.client import Classification, Client
from wanneng.client.classify import PATH

BAR_CELLS = 32


class Classifier:
    """Answers as the gateway writes them; `options` are the fields of the body beside the texts."""

    def __init__(self, client: Client, options: dict[str, Any]) -> None:
        self._client = client
        self._options = options

    def classify(self, text: str) -> dict[str, Any]:
        """The answer for one text; `RequestError` with the reason otherwise."""
        return self._post({"text": text})

    def classify_all(self, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
        """An answer for each text, in order; a text that is refused carries its `error`."""
        for found in self._client.stream(texts, **self._options):
            yield {"text": found.text, **found.answer} if found.error is None else _refused(found)

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._client.request("POST", PATH, json=body | self._options, changes=False)


def _refused(found: Classification) -> dict[str, Any]:
    return {"text": found.text, "error": str(found.error)}


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
