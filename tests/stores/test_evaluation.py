"""Numbers of a version that cannot be are refused, by the name of the field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from stores.errors import InvalidRequest
from stores.evaluation import Evaluation, validate_evaluation

AT = datetime(2030, 1, 1, tzinfo=UTC)
WHOLE: dict[str, Any] = {"evaluated_at": AT, "texts": 10, "labelled": 8, "correct": 8, "none_of_these": 10}


def test_counts_may_be_as_large_as_what_they_are_a_part_of() -> None:
    validate_evaluation(Evaluation(**WHOLE, compared_with=2, changed=10), version=3)
    validate_evaluation(Evaluation(**WHOLE), version=1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labelled": 11}, "labelled"),
        ({"correct": 9}, "correct"),
        ({"none_of_these": 11}, "none_of_these"),
        ({"compared_with": 2, "changed": 11}, "changed"),
        ({"compared_with": 2}, "compared_with"),
        ({"changed": 1}, "compared_with"),
        ({"compared_with": 3, "changed": 1}, "compared_with"),
    ],
)
def test_a_part_is_not_more_than_the_whole(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate_evaluation(Evaluation(**WHOLE | change), version=3)
    assert refused.value.field == f"evaluation.{field}"


@pytest.mark.parametrize(
    "change",
    [
        {"texts": 0},
        {"texts": 10**10},
        {"correct": -1},
        {"model_version": ""},
        {"model_version": "x" * 201},
        {"evaluated_at": "2030-01-01T00:00:00"},
        {"compared_with": 0},
        {"notes": "x"},
    ],
)
def test_numbers_and_texts_are_bounded(change: dict[str, Any]) -> None:
    body = msgspec.json.encode(WHOLE | change)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Evaluation)
