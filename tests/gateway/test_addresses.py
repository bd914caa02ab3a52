from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.addresses import DnsAddresses, FixedAddresses, addresses_of


@pytest.mark.parametrize(
    ("setting", "urls"),
    [
        ("http://a:8000", ["http://a:8000"]),
        ("http://a:8000/, http://b:8000,", ["http://a:8000", "http://b:8000"]),
        ("http://a:8000,http://a:8000", ["http://a:8000"]),
    ],
)
async def test_a_list_is_taken_as_it_is_each_once(setting: str, urls: list[str]) -> None:
    assert list(await addresses_of(setting).urls()) == urls


async def test_a_name_is_every_address_that_it_has() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("triton", 8000)
        return ["10.0.0.1", "10.0.0.2", "10.0.0.1", "fd00::1"]

    addresses = DnsAddresses("http://triton:8000", lookup)
    assert await addresses.urls() == ["http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://[fd00::1]:8000"]


async def test_the_last_answer_stands_while_the_resolver_fails() -> None:
    answers: list[Sequence[str] | OSError] = [["10.0.0.1"], OSError("no answer"), ["10.0.0.2"]]

    async def lookup(host: str, port: int) -> Sequence[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    addresses = DnsAddresses("http://triton:8000", lookup)
    assert [await addresses.urls() for _ in range(3)] == [
        ["http://10.0.0.1:8000"],
        ["http://10.0.0.1:8000"],
        ["http://10.0.0.2:8000"],
    ]


async def test_the_real_resolver_knows_localhost() -> None:
    addresses = addresses_of("dns+http://localhost:8000")
    assert isinstance(addresses, DnsAddresses)
    assert "http://127.0.0.1:8000" in await addresses.urls()
    assert isinstance(addresses_of("http://localhost:8000"), FixedAddresses)
