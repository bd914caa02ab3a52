from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.triton.discovery import Address, AddressList, discovery_of
from web.settings import SettingsError


@pytest.mark.parametrize(
    ("setting", "urls"),
    [
        ("http://a:8000", ["http://a:8000"]),
        ("http://a:8000/, http://b:8000,", ["http://a:8000", "http://b:8000"]),
        ("http://a:8000,http://a:8000", ["http://a:8000"]),
    ],
)
async def test_a_list_is_taken_as_it_is_each_once(setting: str, urls: list[str]) -> None:
    assert await discovery_of(setting).all() == [Address(url) for url in urls]


async def test_a_name_is_every_address_that_it_has() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("triton", 8000)
        return ["10.0.0.1", "10.0.0.2", "10.0.0.1", "fd00::1"]

    discovery = AddressList([Address("dns+http://triton:8000", "a10", 2.0)], lookup)
    assert await discovery.all() == [
        Address(url, "a10", 2.0)
        for url in ("http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://[fd00::1]:8000")
    ]


async def test_the_last_answer_stands_while_the_resolver_fails() -> None:
    answers: list[Sequence[str] | OSError] = [["10.0.0.1"], OSError("no answer"), ["10.0.0.2"]]

    async def lookup(host: str, port: int) -> Sequence[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    discovery = AddressList([Address("dns+http://triton:8000", "a10", 2.0)], lookup)
    assert [[address.url for address in await discovery.all()] for _ in range(3)] == [
        ["http://10.0.0.1:8000"],
        ["http://10.0.0.1:8000"],
        ["http://10.0.0.2:8000"],
    ]


async def test_pools_have_names_and_weights() -> None:
    setting = "http://a:8000#pool=a10,http://b:8000#weight=3.5&pool=a100, dns+http://localhost:1#pool=local"
    found = list(await discovery_of(setting).all())
    assert found[:2] == [Address("http://a:8000", "a10"), Address("http://b:8000", "a100", 3.5)]
    assert Address("http://127.0.0.1:1", "local") in found[2:]


async def test_a_pool_may_have_a_share_of_the_requests() -> None:
    assert await discovery_of("http://a:8000#pool=b&share=0.1,http://c:8000#share=0").all() == [
        Address("http://a:8000", "b", share=0.1),
        Address("http://c:8000", share=0.0),
    ]


async def test_what_is_named_first_holds() -> None:
    assert await discovery_of("http://a:8000#weight=2,http://a:8000#weight=3").all() == [
        Address("http://a:8000", weight=2.0)
    ]


@pytest.mark.parametrize(
    "setting",
    [
        " , ",
        "a:8000",
        "ftp://a",
        "http://:8000",
        "http://a:http",
        "http://[::1",
        "http://a#weight=0",
        "http://a#weight=-1",
        "http://a#weight=inf",
        "http://a#weight=much",
        "http://a#pool=",
        "http://a#share=1.1",
        "http://a#share=-0.1",
        "http://a#share=nan",
        "http://a#share=null",
        "http://a#share=",
        "http://a#speed=3",
        "http://a#url=http://b",
        "http://a#weight",
    ],
)
def test_what_is_no_address_is_refused_by_the_settings_name(setting: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_TRITON_URL"):
        discovery_of(setting)


async def test_the_real_resolver_knows_localhost() -> None:
    found = await discovery_of("dns+http://localhost:8000").all()
    assert "http://127.0.0.1:8000" in [address.url for address in found]
