"""The columns that answers add to a table: the best label, its score, each label's score, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wanneng.tables.table import unique

Answer = Mapping[str, Any]
"""As `/v1/classify` answers one text; only `error` if it was refused; empty if the row was not sent."""
BEST = ("best_label", "best_score")
ERROR = "error"
MAX_LABELS = 256
"""Of a request or a label set; the gateway's own limit by default."""
MAX_FLAGS = 12
"""More than the fields such as `truncated` or `unknown_share` that an answer may have."""


class AnswerColumns:
    """One set of columns for all answers; `names` do not collide with the columns `taken`.

    `labels` are in the order of the request.
    """

    def __init__(self, answers: Iterable[Answer], labels: Sequence[str], taken: Sequence[str]) -> None:
        found: dict[str, None] = {}
        flags: dict[str, None] = {}
        self._entailment = False
        for answer in answers:
            self._entailment |= "entailment" in answer
            found.update(dict.fromkeys(answer.get("labels", ())))
            flags.update(dict.fromkeys(name for name, value in answer.items() if _is_flag(name, value)))
        self._labels = [*(label for label in labels if label in found), *(f for f in found if f not in labels)]
        self._flags = list(flags)
        own = [f"entailment_{label}" for label in self._labels] if self._entailment else []
        self.names = unique([*BEST, *self._labels, *own, *self._flags, ERROR], taken)

    def cells(self, answer: Answer) -> list[Any]:
        scores = dict(zip(answer.get("labels", ()), answer.get("scores", ()), strict=True))
        own = dict(zip(answer.get("labels", ()), answer.get("entailment", ()), strict=False))
        best = next(iter(scores.items()), ("", None))
        if answer.get("none_of_these"):
            best = ("", best[1])
        flags = (answer.get(name) for name in self._flags)
        columns = [scores.get(label) for label in self._labels]
        columns += [own.get(label) for label in self._labels] if self._entailment else []
        return [*best, *columns, *flags, answer.get(ERROR, "")]


def most_columns(labels: int, *, entailment: bool) -> int:
    """As many as answers for so many labels add at most."""
    return len(BEST) + labels * (2 if entailment else 1) + MAX_FLAGS + len([ERROR])


def _is_flag(name: str, value: object) -> bool:
    return name not in (ERROR, "labels", "scores", "entailment") and not isinstance(value, dict)
