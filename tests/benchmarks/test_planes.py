"""What a neighbour may notice of a disturbance: the promises, and how they are shown."""

from __future__ import annotations

import pytest

from benchmarks.neighbour import Measurement, p99_s
from benchmarks.planes import render
from loadtest.budget import Sample


def measurement(*seconds: float, failed: int = 0) -> Measurement:
    samples = [Sample("inline", "benchmark", value, None) for value in seconds]
    samples += [Sample("inline", "benchmark", 0.001, "status 503")] * failed
    return Measurement("disturbed", samples, undisturbed_p99_s=0.1)


@pytest.mark.parametrize(
    ("measured", "broken"),
    [
        (measurement(*[0.1] * 100), []),
        (measurement(*[0.1] * 99, 9.0, *[0.1] * 50), []),
        (measurement(*[0.1] * 98, 0.2, 0.2), ["disturbed: p99 over undisturbed"]),
        (measurement(*[0.1] * 100, failed=1), ["disturbed: failed"]),
        (measurement(failed=3), ["disturbed: failed", "disturbed: p99 over undisturbed"]),
    ],
)
def test_a_failed_request_and_a_p99_of_twice_the_undisturbed_one_break_a_promise(
    measured: Measurement, broken: list[str]
) -> None:
    assert [promise.what for promise in measured.promises() if not promise.kept] == broken
    assert measured.kept is (broken == [])
    assert ("BROKEN" in render([measured])) is (broken != [])


def test_quick_refusals_do_not_lower_the_p99() -> None:
    assert p99_s(measurement(0.3, failed=99).samples) == 0.3


def test_the_table_says_what_failed() -> None:
    assert "disturbed: 2 × status 503" in render([measurement(0.1, failed=2)])
