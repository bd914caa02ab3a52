"""`wanneng audit verify` as an operator runs it, on a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.wanneng.client.test_audit import chain
from wanneng.audit import app
from wanneng.errors import AuditLogAltered, CommandError


def run(*arguments: str, typed: str | None = None) -> str:
    result = CliRunner().invoke(app, [*arguments], input=typed, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_an_export_is_verified_from_a_file_and_from_standard_input(tmp_path: Path) -> None:
    content = "".join(f"{line}\n" for line in chain())
    (tmp_path / "audit.jsonl").write_text(content, encoding="utf-8")
    told = run("verify", str(tmp_path / "audit.jsonl"))
    assert told.startswith("9 records, 1 to 9, are as they were written; hash ")
    head = told.split()[-1]
    assert run("verify", "-", "--expect-hash", head, typed=content) == told
    with pytest.raises(AuditLogAltered, match=f"no record has the hash {head}"):
        run("verify", "-", "--expect-hash", head, typed="".join(content.splitlines(keepends=True)[:8]))


def test_the_changed_record_is_named_whatever_the_byte_has_become(tmp_path: Path) -> None:
    content = "".join(f"{line}\n" for line in chain()).encode()
    place = content.index("名称 5".encode()) + 1
    for byte in (b"\xff", b"\n", b'"', b"\x00"):
        (tmp_path / "altered").write_bytes(content[:place] + byte + content[place + 1 :])
        with pytest.raises(AuditLogAltered, match="record 5 of the audit log is not as it was written"):
            run("verify", str(tmp_path / "altered"))


def test_a_time_that_is_none_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(CommandError, match="--since is 'yesterday'"):
        run("list", "--since", "yesterday", "--url", "http://127.0.0.1:9", "--admin-key-file", __file__)
