"""What the commands of engines print and take."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wanneng.engine import app, serve_command
from wanneng.errors import CommandError


@pytest.mark.parametrize("folder", ["/a/ok", "/a/空 格/it's $HOME", "-x; rm"])
def test_a_command_that_is_printed_can_be_run(folder: str) -> None:
    assert shlex.split(serve_command(Path(folder))) == ["wanneng", "serve", "--engine", folder]


@pytest.mark.parametrize(("languages", "refused"), [("中文", True), ("zh,english", True), ("zh-Hant, en", False)])
def test_languages_are_codes(tmp_path: Path, languages: str, refused: bool) -> None:
    options = ["build", "none", "--output", str(tmp_path / "x"), "--target", "tpu", "--languages", languages]
    # A target that does not exist is refused behind the languages.
    raised = CliRunner().invoke(app, options).exception
    assert isinstance(raised, SystemExit if refused else CommandError)
