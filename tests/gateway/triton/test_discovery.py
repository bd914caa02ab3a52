from __future__ import annotations

import logging
import socket
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


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
async def test_a_name_without_a_port_has_that_of_its_scheme(scheme: str, port: int) -> None:
    discovery = AddressList([Address(f"dns+{scheme}://triton")], Resolver(["10.0.0.1"]))
    assert [address.url for address in await discovery.all()] == [f"{scheme}://10.0.0.1:{port}"]


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


class Resolver:
    """Gives an answer after the other; the last one is repeated."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("code", "left"),
    [(socket.EAI_NONAME, 0), (socket.EAI_NODATA, 0), (socket.EAI_AGAIN, 1), (socket.EAI_FAIL, 1)],
)
async def test_a_name_without_addresses_has_none_and_a_resolver_that_fails_tells_nothing(
    code: int, left: int
) -> None:
    """A headless Service without Pods is a name without addresses."""
    resolver = Resolver(["10.0.0.1"], socket.gaierror(code, "of the resolver"), TimeoutError())
    discovery = AddressList([Address("dns+http://triton:8000")], resolver)
    assert [len(await discovery.all()) for _ in range(3)] == [1, left, left]


async def test_a_failure_is_logged_when_it_begins_and_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    none, fails = socket.gaierror(socket.EAI_NONAME, "no name"), socket.gaierror(socket.EAI_AGAIN, "try again")
    resolver = Resolver(none, none, fails, fails, TimeoutError(), TimeoutError(), ["10.0.0.1"], none, none)
    discovery = AddressList([Address("dns+http://triton:8000")], resolver)
    with caplog.at_level(logging.WARNING):
        for _ in range(12):
            await discovery.all()
    errors = [text.removeprefix("triton cannot be resolved: ") for text in caplog.messages]
    assert errors == [repr(error) for error in (none, fails, TimeoutError(), none)]


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
