"""Checks of answers, and verdicts on the promises of a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.answers import check_answer
from loadtest.budget import Budget, Sample, find_budget, judge, percentile, write_report
from loadtest.endpoints import check_response
from loadtest.errors import LoadTestError
from loadtest.workload import Request
from wanneng.load import PERCENTILES, Measured

BUDGET = Budget("test", 10.0, 0.1, 0.2, 0.3, fault_rate=0.01, max_p99_ratio=2.0)


def samples(*times: float, tenant: str = "a", kind: str = "inline", fault: str | None = None) -> list[Sample]:
    return [Sample(kind, tenant, seconds, fault) for seconds in times]


def broken(measured: list[Sample], due: int | None = None, budget: Budget = BUDGET) -> list[str]:
    promises = judge(budget, measured, len(measured) if due is None else due)
    return [promise.what for promise in promises if not promise.kept]


GOOD = samples(*[0.05] * 100)


def test_promises_that_are_kept_are_kept() -> None:
    assert broken(GOOD) == []


@pytest.mark.parametrize(
    ("measured", "what"),
    [
        (samples(*[0.05] * 40, *[0.15] * 60), ["p50"]),
        (samples(*[0.05] * 90, *[0.25] * 10), ["p95"]),
        (samples(*[0.05] * 98, *[0.5] * 2), ["p99"]),
        ([*GOOD, *samples(0.01, 0.01, fault="status 500")], ["failed"]),
        (
            [*samples(*[0.03] * 100), *samples(*[0.09] * 100, tenant="b")],
            ["p99 of the slowest tenant over the fastest"],
        ),
        (
            [],
            ["p50", "p95", "p99", "failed", "answered of those due", "p99 of the slowest tenant over the fastest"],
        ),
    ],
)
def test_a_promise_that_is_broken_is_named(measured: list[Sample], what: list[str]) -> None:
    assert broken(measured) == what


def test_requests_that_were_due_and_never_answered_count() -> None:
    assert broken(GOOD, due=150) == ["answered of those due"]


def test_a_quick_refusal_does_not_make_the_server_look_fast() -> None:
    """Nine of ten requests fail at once; latencies are those of the others."""
    measured = [*samples(*[0.25] * 100), *samples(*[0.001] * 900, fault="status 503")]
    assert broken(measured) == ["p50", "p95", "failed"]


def test_batches_are_not_timed_and_a_noisy_tenant_is_not_compared() -> None:
    assert broken([*GOOD, *samples(9.0, kind="batch")]) == []
    assert broken([*GOOD, *samples(*[0.2] * 2, tenant="noisy")]) == []


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 2.0, 4.0]
    assert percentile([], 0.5) == float("inf")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99, 100, 101])
@pytest.mark.parametrize("share", PERCENTILES)
def test_a_percentile_is_that_of_wanneng_bench(count: int, share: float) -> None:
    seconds = [float(number) for number in range(count)]
    assert percentile(seconds, share) == Measured("", is_open=True, seconds=seconds).percentile_s(share)


def test_the_report_says_what_was_wrong_and_with_whom(tmp_path: Path) -> None:
    measured = [*GOOD, *samples(0.1, tenant="b"), *samples(1.0, 1.0, fault="scores are not sorted")]
    path = tmp_path / "verdict.json"
    write_report(path, BUDGET, judge(BUDGET, measured, len(measured)), measured)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert (report["kept"], report["faults"]) == (False, {"scores are not sorted": 2})
    assert report["p99_ms_by_tenant"] == {"a": 50.0, "b": 100.0}


def test_a_load_that_does_not_exist_is_named() -> None:
    with pytest.raises(LoadTestError, match="unknown load huge; choose one of small, middle, large"):
        find_budget("huge")


LABELS = ("甲", "乙", "丙")
RIGHT = {"labels": ["乙", "甲", "丙"], "scores": [0.7, 0.2, 0.1]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (RIGHT, None),
        (RIGHT | {"labels": ["乙", "甲", "丁"]}, "labels differ from those asked for"),
        (RIGHT | {"labels": ["乙", "甲"]}, "malformed answer"),
        (RIGHT | {"scores": [0.2, 0.7, 0.1]}, "scores are not sorted"),
        (RIGHT | {"scores": [0.7, 0.2, 0.05]}, "scores sum to 0.9500"),
        (RIGHT | {"scores": [0.7, float("nan"), 0.1]}, "a score is not a finite number"),
        ([], "malformed answer"),
        (None, "malformed answer"),
    ],
)
def test_an_answer_has_the_asked_labels_sorted_with_scores_that_sum_to_1(body: Any, words: str | None) -> None:
    fault = check_answer(LABELS, body)
    assert fault is None if words is None else fault is not None and words in fault


def test_hugging_faces_answer_is_a_list() -> None:
    request = Request("a", "hugging_face", "x", ("甲", "乙"))
    right = [{"label": "乙", "score": 0.9}, {"label": "甲", "score": 0.1}]
    assert check_response(request, 200, json.dumps(right).encode()) is None
    assert check_response(request, 200, json.dumps(right[:1]).encode()) == "labels differ from those asked for"
    assert check_response(request, 503, b"") == "status 503"
    assert check_response(request, 200, b"<html>") == "not JSON"
