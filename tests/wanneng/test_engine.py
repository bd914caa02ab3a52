"""What the commands of engines print and take."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from wanneng.engine import serve_command


@pytest.mark.parametrize("folder", ["/a/ok", "/a/空 格/it's $HOME", "-x; rm"])
def test_a_command_that_is_printed_can_be_run(folder: str) -> None:
    assert shlex.split(serve_command(Path(folder))) == ["wanneng", "serve", "--engine", folder]
