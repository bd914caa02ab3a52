"""Processes of one tree, told apart by their command lines."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from benchmarks.resource_usage import take_sample


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["control_plane", "worker"], "worker"),
        (["control_plane", "serve"], "control plane"),
        (["gateway"], "gateway"),
        (["/state/models/expand/1/model.py"], "expand"),
        (["sleep"], "other"),
    ],
)
def test_a_process_is_named_by_the_words_of_its_command_line(words: list[str], name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        # For a moment after exec(2) a process has no command line.
        process.stdout.readline()
        assert take_sample(psutil.Process(process.pid)).processes.keys() == {name}
    finally:
        process.communicate()
