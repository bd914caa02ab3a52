"""Keys for the commands come from a variable or a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from wanneng.__main__ import app
from wanneng.client import AsyncClient, Client
from wanneng.errors import CommandError
from wanneng.keys import admin_key, tenant_key


def test_a_file_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("of-the-file\n", encoding="utf-8")
    for variable, read in (("WANNENG_KEY", tenant_key), ("WANNENG_ADMIN_KEY", admin_key)):
        monkeypatch.delenv(variable, raising=False)
        assert read(None) is None
        monkeypatch.setenv(variable, "of-the-variable\r\n")
        assert (read(None), read(file)) == ("of-the-variable", "of-the-file")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff", b"one\ntwo", "wn_…".encode()])
def test_a_file_without_a_key_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=str(file)):
        tenant_key(file)


@pytest.mark.parametrize(
    "content",
    [b"wn_a_b\r\n", b"\xef\xbb\xbfwn_a_b\n", "wn_a_b\r\n".encode("utf-16"), b"  wn_a_b"],
    ids=["CRLF", "byte order mark", "UTF-16", "blanks"],
)
def test_a_file_as_any_editor_writes_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert tenant_key(file) == "wn_a_b"


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("wn_1…", "'…' (U+2026)"),
        ("wn_１", "(U+FF11)"),
        ("wn_\x00", "(U+0000)"),
        ("wn_a wn_b", "more than one word"),
    ],
)
def test_a_key_that_no_header_can_have_is_named_by_its_character(
    key: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(key, encoding="utf-8")
    with pytest.raises(CommandError, match=f"{re.escape(str(file))} .*{re.escape(named)}"):
        tenant_key(file)
    with pytest.raises(CommandError, match=f"the key .*{re.escape(named)}"):
        Client(key=key)
    with pytest.raises(CommandError, match=f"the key .*{re.escape(named)}"):
        AsyncClient(key=key)


def flags(command: Any) -> set[str]:
    """Of a command and of all below it."""
    below = getattr(command, "commands", {}).values()
    own = {flag for parameter in command.params for flag in parameter.opts}
    return own.union(*map(flags, below))


def test_no_command_takes_a_key_as_a_flag() -> None:
    """Every user of the machine can read it."""
    found = flags(typer.main.get_command(app))
    assert found.isdisjoint({"--key", "--admin-key", "--internal-key"})
    assert found >= {"--key-file", "--admin-key-file"}
