"""A target that answers as a table says, and evaluations made with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wanneng.evaluation.metrics import Prediction
from wanneng.evaluation.run import Evaluation, evaluate, variants
from wanneng.evaluation.targets import Answers, Progress, Question
from wanneng.examples import Example, Examples


class TableTarget:
    """Gives each text the label and the score of the table; a text that it lacks is refused."""

    def __init__(self, name: str, table: Mapping[str, tuple[str, float]]) -> None:
        self.name = name
        self.questions: list[Question] = []
        self._table = table

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "table", "name": self.name}

    def ask(self, question: Question, texts: Sequence[str], progress: Progress) -> Answers:
        self.questions.append(question)
        predictions = []
        for text in texts:
            label, score = self._table.get(text, (None, 0.0))
            predictions.append(Prediction(label, score, None if label else "the text is unknown"))
            progress()
        return Answers(predictions, f"{self.name}-1")


def examples(*rows: tuple[str, str | None]) -> Examples:
    items = [Example(text, label, f"row {number}") for number, (text, label) in enumerate(rows, 1)]
    return Examples(Path("folder/labelled.csv"), items, "as a test gives them")


def evaluation(labels: Sequence[str], right: int = 16, wrong: int = 4) -> Evaluation:
    """Two targets on texts of `labels`: the first is right on `right` of them, the second on `wrong`."""
    rows = [(f"{label} {n}", label) for n in range(20) for label in labels]
    mistaken = dict(zip(labels, [*labels[1:], labels[0]], strict=True))

    def table(correct: int) -> dict[str, tuple[str, float]]:
        return {
            text: (label if n < correct * len(labels) else mistaken[label], 0.99 - n / 1000)
            for n, (text, label) in enumerate(rows)
        }

    targets = [TableTarget("first", table(right)), TableTarget("second", table(wrong))]
    return evaluate(
        examples(*rows, ("none of them", None)), labels, variants(targets, labels), thresholds=(0.5, 0.9)
    )
