"""Commands whose standard streams are closed, full or without a reader."""

from __future__ import annotations

import inspect
import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from logs import setup
from tests.wanneng.test_text_io import environment
from wanneng import text_io
from wanneng.classify import print_bars
from wanneng.console import Console

ROOT = Path(__file__).parents[2]
ANSWER = ("engine", "checksum", "tests/golden/small")
HELP = ("--help",)
REFUSED = ("classify", "a text")


def run(redirections: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirections}', "bash", sys.executable, "-m", "wanneng", *arguments],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
        env=environment() | variables,
    )


@pytest.mark.parametrize(("streams", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left")])
@pytest.mark.parametrize("command", [ANSWER, HELP])
def test_an_answer_that_cannot_be_written_is_an_error(command: tuple[str, ...], streams: str, why: str) -> None:
    done = run(streams, *command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wanneng: standard output cannot be written: {why}"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [ANSWER, HELP])
def test_whoever_reads_no_more_is_told_nothing(command: tuple[str, ...]) -> None:
    done = run("| true; exit ${PIPESTATUS[0]}", *command)
    assert done.returncode == 1
    assert done.stderr == ""


def test_an_answer_comes_at_once_where_nothing_is_buffered() -> None:
    code = "from wanneng.text_io import prepare_streams as p; p(); print('answer'); import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-u", "-c", code], cwd=ROOT, stdin=-1, stdout=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        threading.Timer(30, process.kill).start()
        assert process.stdout.readline() == b"answer\n"
        process.stdin.close()


def test_messages_that_a_full_pipe_does_not_take_end_nothing() -> None:
    code = (
        "import os, sys; from wanneng.text_io import prepare_streams as p; p(); os.set_blocking(2, False)\n"
        "for _ in range(100): print('x' * 10_000, file=sys.stderr, flush=True)\n"
        "print('done')"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n"


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_messages_that_cannot_be_written_lose_no_answer(streams: str) -> None:
    done = run(streams, *ANSWER)
    assert done.returncode == 0
    assert done.stdout.startswith("sha256:")
    assert run(streams, *REFUSED).returncode == 1


@pytest.mark.parametrize(
    "command",
    [
        ("classify", "--labels", "a,b", "--input", "-", "--format", "txt", "--output", "/dev/null"),
        ("evaluate", "-", "--labels", "a,b"),
        ("label-set", "check", "-", "--labels", "a,b"),
        ("audit", "verify", "-"),
    ],
)
def test_closed_standard_input_is_an_empty_one(command: tuple[str, ...]) -> None:
    closed, empty = run("<&-", *command), run("</dev/null", *command)
    assert "Traceback" not in closed.stderr
    assert (closed.returncode, closed.stdout, closed.stderr) == (empty.returncode, empty.stdout, empty.stderr)


@pytest.mark.parametrize("columns", ["0", "1", "20"])
@pytest.mark.parametrize("arguments", [REFUSED, ("clasify",), ("status",)])
def test_an_error_is_printed_at_every_width(arguments: tuple[str, ...], columns: str) -> None:
    """By the commands, by Typer, and in a table."""
    address = "http://127.0.0.1:1"
    narrow = run("", *arguments, COLUMNS=columns, WANNENG_URL=address)
    assert narrow.returncode != 0
    assert narrow.stderr.split() == run("", *arguments, COLUMNS="20", WANNENG_URL=address).stderr.split()
    assert len(narrow.stderr.split()) > 4


@pytest.mark.parametrize("columns", ["0", "1"])
def test_an_answer_is_printed_at_every_width(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    console = Console(file=io.StringIO())
    print_bars(console, {"labels": ["a", "b"], "scores": [0.75, 0.25], "truncated": False})
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "0.750" in printed
    assert "0.250" in printed


def test_servers_and_commands_open_closed_streams_alike() -> None:
    """The client is installed without `logs`, and has a copy."""
    assert inspect.getsource(text_io.open_closed_streams) == inspect.getsource(setup.open_closed_streams)
    assert text_io.STREAMS == setup.STREAMS
