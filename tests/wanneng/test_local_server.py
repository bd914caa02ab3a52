"""The admin key of this machine goes to its own server alone."""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import wanneng.settings
import web.settings
from tests.fakes.listener import NOBODY, listener_of
from wanneng import local_server
from wanneng.errors import CommandError
from wanneng.local_server import is_served_by, local_admin_key
from web import same_user


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "admin.key"
    path.write_text("the-key\n", encoding="utf-8")
    return path


@pytest.fixture
def own_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_server_of_this_machine_is_sent_its_key(host: str, file: Path, own_port: int) -> None:
    assert local_admin_key(f"http://{host}:{own_port}", file) == "the-key"


@pytest.mark.parametrize(
    "url", ["https://classify.example", "http://10.0.0.1:8080", "http://127.0.0.1.example:8080", "http://x@y", ""]
)
def test_no_other_machine_is_sent_it(url: str, file: Path) -> None:
    with pytest.raises(CommandError, match=r"is not this machine, .* WANNENG_ADMIN_KEY") as refusal:
        local_admin_key(url, file)
    assert "the-key" not in str(refusal.value)


def test_no_other_user_of_this_machine_is_sent_it(file: Path) -> None:
    """Anybody can listen where a server was, or will be."""
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    with listener_of(uid) as listener:
        url = f"http://127.0.0.1:{listener.port}"
        assert is_served_by(url, uid)
        assert not is_served_by(url, uid + 1)
        if uid == NOBODY:
            with pytest.raises(CommandError, match="another user listens at"):
                local_admin_key(url, file)


def test_the_client_finds_out_who_listens_as_the_servers_do() -> None:
    """It is installed without `web`, and has a copy."""
    for own, servers in (
        (local_server._listeners, same_user._listeners),
        (wanneng.settings.is_loopback, web.settings.is_loopback),
    ):
        assert inspect.getsource(own) == inspect.getsource(servers)
    for name in ("TABLES", "LISTEN", "LOCAL_ADDRESS", "STATE", "UID"):
        assert getattr(local_server, name) == getattr(same_user, name)


def test_where_there_is_no_key_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no admin key: .*none does not exist; give the server's admin key"):
        local_admin_key("http://127.0.0.1:1", tmp_path / "none")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "has the character"),
        (None, "cannot be read: Is a dir"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=rf"admin\.key {reason}"):
        local_admin_key("http://127.0.0.1:1", path)
