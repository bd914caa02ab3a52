"""Which pool answers which request while a pool tries another model."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.triton.backend import Engine
from gateway.triton.discovery import Address
from gateway.triton.replica import Replica
from gateway.triton.shares import REST, capacity_of, points_of, with_share
from tests.fakes.backend import FakeBackend


def replica(pool: str, share: float | None = None, weight: float = 1.0) -> Replica:
    return Replica(Address(f"http://{pool}", pool, weight, share), FakeBackend(), engine=Engine(pool, pool))


def answering(replicas: list[Replica], texts: int = 2_000) -> Counter[str]:
    points = (points_of("t_1", f"第{number}条") for number in range(texts))
    return Counter(chosen.address.pool for point, _ in points for chosen in with_share(replicas, point))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_pool_answers_its_share(share: float) -> None:
    counted = answering([replica("cpu"), replica("canary", share)])
    assert abs(counted["canary"] / 2_000 - share) < 0.03
    assert counted.total() == 2_000


def test_several_pools_have_shares_of_their_own() -> None:
    counted = answering([replica("cpu"), replica("a", 0.2), replica("b", 0.3)])
    assert abs(counted["a"] / 2_000 - 0.2) < 0.03
    assert abs(counted["b"] / 2_000 - 0.3) < 0.03


def test_a_tenants_text_has_one_point_and_another_tenants_another() -> None:
    assert points_of("t_1", "退款") == points_of("t_1", "退款")
    assert points_of("t_1", "退款") != points_of("t_2", "退款")
    assert points_of("t_1", "\ud800")


def test_the_sample_to_compare_is_independent_of_the_pool() -> None:
    points = [points_of("t_1", f"第{number}条") for number in range(4_000)]
    sampled = [pool for pool, sample in points if sample < 0.25]
    assert abs(len(sampled) / 4_000 - 0.25) < 0.03
    assert abs(sum(pool < 0.3 for pool in sampled) / len(sampled) - 0.3) < 0.05


def test_the_other_model_answers_where_one_is_gone() -> None:
    assert answering([replica("canary", 0.0)]) == {"canary": 2_000}
    assert answering([replica("cpu")]) == {"cpu": 2_000}


def test_what_has_no_request_goes_to_pools_without_a_share() -> None:
    cpu, canary = replica("cpu"), replica("canary", 1.0)
    assert with_share([canary, cpu], REST) == [cpu]


@pytest.mark.parametrize(
    ("replicas", "capacity"),
    [
        ([], 0.0),
        ([replica("a"), replica("b", weight=3.0)], 4.0),
        # Nine tenths of the work keep `cpu` busy, so the canary gets no more than a tenth.
        ([replica("cpu", weight=9.0), replica("canary", 0.1)], 10.0),
        # Half of the work keeps one small replica busy.
        ([replica("cpu", weight=9.0), replica("canary", 0.5)], 2.0),
        ([replica("cpu", weight=9.0), replica("canary", 0.0)], 9.0),
        ([replica("cpu", weight=9.0), replica("canary", 1.0)], 1.0),
        ([replica("canary", 0.0, weight=2.0)], 2.0),
    ],
)
def test_no_more_work_is_under_way_than_shares_can_use(replicas: list[Replica], capacity: float) -> None:
    assert capacity_of(replicas) == pytest.approx(capacity)
