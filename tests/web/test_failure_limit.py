"""Failed authentications of one address have a bound; nobody else is touched by it."""

from __future__ import annotations

import pytest

from stores.errors import TooManyFailures
from web.failure_limit import MAX_ADDRESSES, FailureLimit


class Seconds:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def failures(limit: FailureLimit, address: str, attempts: int) -> int:
    """How many of `attempts` were refused with their own reason."""
    counted = 0
    for _ in range(attempts):
        try:
            limit.count(address)
            counted += 1
        except TooManyFailures:
            pass
    return counted


def test_a_burst_may_fail_and_then_so_many_a_second() -> None:
    clock = Seconds()
    limit = FailureLimit(10, clock)
    assert failures(limit, "10.0.0.1", 200) == 50
    clock.now += 1
    assert failures(limit, "10.0.0.1", 200) == 10
    clock.now += 1_000
    assert failures(limit, "10.0.0.1", 200) == 50


def test_a_refusal_says_when_to_come_back() -> None:
    limit = FailureLimit(0.1, Seconds())
    limit.check("10.0.0.1")
    limit.count("10.0.0.1")
    with pytest.raises(TooManyFailures) as refusal:
        limit.check("10.0.0.1")
    assert refusal.value.retry_after_s == 10


def test_addresses_have_nothing_to_do_with_each_other() -> None:
    limit = FailureLimit(1, Seconds())
    assert [failures(limit, address, 9) for address in ("10.0.0.1", "10.0.0.2")] == [5, 5]


@pytest.mark.parametrize("addresses", [("2001:db8::1", "2001:db8::ffff:2"), ("fe80::1%eth0", "fe80::2%eth0")])
def test_the_addresses_of_one_ipv6_network_are_one_subscribers(addresses: tuple[str, str]) -> None:
    limit = FailureLimit(1, Seconds())
    assert [failures(limit, address, 9) for address in addresses] == [5, 0]
    assert failures(limit, "2001:db8:0:1::1", 9) == 5


def test_addresses_of_ipv4_at_a_server_of_both_are_different_subscribers() -> None:
    limit = FailureLimit(1, Seconds())
    assert [failures(limit, address, 9) for address in ("::ffff:192.0.2.1", "::ffff:192.0.2.2")] == [5, 5]
    assert failures(limit, "192.0.2.1", 9) == 0


def test_0_is_no_limit() -> None:
    assert failures(FailureLimit(0, Seconds()), "10.0.0.1", 1_000) == 1_000


def test_the_memory_is_bounded() -> None:
    limit = FailureLimit(1, Seconds())
    for number in range(2 * MAX_ADDRESSES):
        limit.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limit._buckets) == MAX_ADDRESSES
