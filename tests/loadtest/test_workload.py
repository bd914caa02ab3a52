"""The requests of a workload and their arrival times, from data and a seed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from loadtest.errors import LoadTestError
from loadtest.shapes import SHAPES, Shape, arrivals, find_shape
from loadtest.workload import FOLDER, Workload, load_workload

DATA: dict[str, Any] = {
    "lengths": {0.0: 5, 0.5: 20, 1.0: 100},
    "label_counts": {2: 3, 5: 1},
    "texts": 1000,
    "zipf": 1.0,
    "kinds": {"inline": 3, "label_set": 1},
    "tenants": {"a": 1, "noisy": 10},
}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_every_workload_gives_well_formed_requests(name: str) -> None:
    workload = load_workload(name, seed=1)
    for _ in range(200):
        request = workload.next_request()
        assert request.text.strip()
        assert len(request.labels) == len(set(request.labels)) >= 2
        assert request.tenant in workload.tenants
        assert request.kind in workload.kinds


def test_a_seed_gives_the_same_requests_and_another_does_not() -> None:
    def requests(seed: int) -> list[Any]:
        workload = Workload(DATA, seed)
        return [workload.next_request() for _ in range(50)]

    assert requests(1) == requests(1)
    assert requests(1) != requests(2)


def test_shares_are_those_of_the_data() -> None:
    workload = Workload(DATA, 1)
    requests = [workload.next_request() for _ in range(4_000)]
    kinds, tenants, counts = (
        Counter(values) for values in zip(*((r.kind, r.tenant, len(r.labels)) for r in requests), strict=True)
    )
    assert kinds["inline"] / 4_000 == pytest.approx(0.75, abs=0.03)
    assert tenants["noisy"] / 4_000 == pytest.approx(10 / 11, abs=0.03)
    assert counts[2] / 4_000 == pytest.approx(0.75, abs=0.03)


def test_the_frequencies_of_texts_follow_zipfs_law() -> None:
    """The first of 1,000 texts has 1 / H(1000) = 13% of the requests; without an exponent 0.1%."""
    zipf, uniform = Workload(DATA, 1), Workload(DATA | {"zipf": 0.0}, 1)
    for workload, share in ((zipf, 0.134), (uniform, 0.001)):
        texts = Counter(workload.next_request().text for _ in range(4_000))
        assert texts[workload.text(0)] / 4_000 == pytest.approx(share, abs=0.02)


def test_lengths_follow_the_quantiles() -> None:
    workload = Workload(DATA, 1)
    lengths = sorted(len(workload.text(rank)) - len(str(rank)) for rank in range(2_000))
    assert lengths[1_000] == pytest.approx(20, abs=2)
    assert lengths[0] >= 5
    assert lengths[-1] <= 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kinds": {"telepathy": 1}}, "telepathy"),
        ({"texts": "many"}, "missing or of the wrong type"),
        ({"tenants": {}}, "missing or of the wrong type"),
        ({"label_counts": {500: 1}}, "more labels than the"),
    ],
)
def test_data_that_cannot_be_used_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadTestError, match=words):
        Workload(DATA | change, 1)


def test_what_does_not_exist_is_named_with_what_does() -> None:
    with pytest.raises(LoadTestError, match="unknown workload nothing; choose one of mixed, noisy, triton"):
        load_workload("nothing", 1)
    with pytest.raises(LoadTestError, match="unknown shape flat; choose one of steady, ramp"):
        find_shape("flat")


def expected(shape: Shape, max_rate: float, duration_s: float) -> float:
    """The mean number of arrivals."""
    steps = 10_000
    return max_rate * duration_s * sum(shape.at((step + 0.5) / steps) for step in range(steps)) / steps


@pytest.mark.parametrize("name", SHAPES)
def test_arrivals_are_a_poisson_process_of_the_shapes_rate(name: str) -> None:
    """Their number varies as a Poisson variable does: over 200 runs, mean and variance agree."""
    shape, rng = find_shape(name), random.Random(7)
    counts = [len(list(arrivals(shape, 20.0, 10.0, rng))) for _ in range(300)]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    assert mean == pytest.approx(expected(shape, 20.0, 10.0), rel=0.05)
    assert variance == pytest.approx(mean, rel=0.4)


def test_a_spike_is_where_it_should_be_and_a_ramp_rises() -> None:
    rng = random.Random(1)
    spike = list(arrivals(find_shape("spike"), 100.0, 100.0, rng))
    inside = sum(40 <= at < 60 for at in spike)
    assert inside / len(spike) == pytest.approx(20 / 36, abs=0.05)
    ramp = list(arrivals(find_shape("ramp"), 100.0, 100.0, rng))
    assert sum(at >= 50 for at in ramp) / len(ramp) == pytest.approx(0.75, abs=0.05)
    assert ramp == sorted(ramp)
