"""The admin key of this machine goes to its own server alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wanneng.errors import CommandError
from wanneng.local_server import is_served_by, local_admin_key

NOBODY = 65_534
LISTENER = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


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
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER, str(uid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        assert is_served_by(url, uid)
        assert not is_served_by(url, uid + 1)
        if uid == NOBODY:
            with pytest.raises(CommandError, match="another user listens at"):
                local_admin_key(url, file)
    finally:
        process.communicate()


def test_where_there_is_no_key_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        CommandError, match=r"no admin key: .*none does not exist; give --admin-key or WANNENG_ADMIN_KEY"
    ):
        local_admin_key("http://127.0.0.1:1", tmp_path / "none")
