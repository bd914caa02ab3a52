"""Keys for the commands come from a variable or a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wanneng.__main__ import app
from wanneng.errors import CommandError
from wanneng.keys import admin_key, tenant_key


def test_a_file_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("of the file\n", encoding="utf-8")
    for variable, read in (("WANNENG_KEY", tenant_key), ("WANNENG_ADMIN_KEY", admin_key)):
        monkeypatch.delenv(variable, raising=False)
        assert read(None) is None
        monkeypatch.setenv(variable, "of the variable")
        assert (read(None), read(file)) == ("of the variable", "of the file")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_a_file_without_a_key_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=str(file)):
        tenant_key(file)


@pytest.mark.parametrize(
    "command",
    [
        ["classify", "a", "--labels", "b"],
        ["calibrate", "set", "--examples", "file"],
        ["cluster", "verify", "file"],
        ["tenant", "list"],
    ],
)
def test_no_command_takes_a_key_as_a_flag(command: list[str]) -> None:
    """Every user of the machine can read it."""
    for flag in ("--key", "--admin-key"):
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, flag, "a-secret"])
        assert (result.exit_code, "No such option" in result.output) == (2, True)
