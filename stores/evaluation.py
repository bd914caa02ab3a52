"""The numbers of a label set's version: what it answered to sample texts before it was saved."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from stores.errors import InvalidRequest

MAX_TEXTS = 1_000_000_000
MAX_MODEL_VERSION_CHARACTERS = 200

Texts = Annotated[int, Meta(ge=0, le=MAX_TEXTS)]
Time = Annotated[datetime, Meta(tz=True, extra_json_schema={"format": "date-time"})]


class Evaluation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a version answered to sample texts before it was saved, as counted by whoever saved it.

    The version's own threshold applies to `none_of_these` and `changed`, and not to `correct`.
    """

    evaluated_at: Time
    model_version: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_VERSION_CHARACTERS)] | None = None
    """Of the engine that answered; null: not all answers are of one."""
    texts: Annotated[int, Meta(ge=1, le=MAX_TEXTS)]
    labelled: Texts = 0
    """Of the texts, those whose right label is known."""
    correct: Texts = 0
    """Of the labelled texts, those whose best label is the right one."""
    none_of_these: Texts = 0
    """Of the texts, those whose best label is below the threshold."""
    compared_with: Annotated[int, Meta(ge=1)] | None = None
    """The version whose answers to the same texts were compared."""
    changed: Texts | None = None
    """Of the texts, those whose answer differs from that of `compared_with`."""
    in_sample: bool = False
    """Whether the version's correction was learned from the same texts, which flatters it."""


def validate_evaluation(evaluation: Evaluation, version: int) -> None:
    """`InvalidRequest` for counts of which a part is more than the whole, or a comparison that cannot have been.

    `version` is the number that the evaluated version gets.
    """
    parts = (
        ("labelled", evaluation.labelled, "texts", evaluation.texts),
        ("correct", evaluation.correct, "labelled", evaluation.labelled),
        ("none_of_these", evaluation.none_of_these, "texts", evaluation.texts),
        ("changed", evaluation.changed or 0, "texts", evaluation.texts),
    )
    for part, count, whole, most in parts:
        if count > most:
            raise InvalidRequest(f"{count} are more than {whole}, {most}", field=f"evaluation.{part}")
    if (evaluation.changed is None) != (evaluation.compared_with is None):
        raise InvalidRequest(
            "give changed and compared_with together, or neither", field="evaluation.compared_with"
        )
    if evaluation.compared_with is not None and evaluation.compared_with >= version:
        raise InvalidRequest(
            f"version {evaluation.compared_with} is not older than {version}", field="evaluation.compared_with"
        )
