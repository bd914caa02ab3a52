"""`wanneng bench`: which loops its options ask for, and which texts it sends."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wanneng.__main__ import app
from wanneng.bench import Texts, _lines, _plan, measure
from wanneng.errors import CommandError
from wanneng.load import Plan


@pytest.mark.parametrize(
    ("clients", "rates", "plan"),
    [
        (None, None, Plan(duration_s=5)),
        ("1, 4", None, Plan((1, 4), (), (), 5)),
        (None, "40,2.5", Plan((), (40, 2.5), (), 5)),
        (None, "40,50%", Plan((1, 8, 32), (40,), (0.5,), 5)),
        ("8", "50%", Plan((8,), (), (0.5,), 5)),
    ],
)
def test_options_choose_the_loops(clients: str | None, rates: str | None, plan: Plan) -> None:
    assert _plan(clients, rates, 5) == plan


@pytest.mark.parametrize(
    "clients, rates",
    [("0", None), ("1.5", None), ("a", None), ("", None), ("1001", None), ("9" * 5_000, None)]
    + [(None, rate) for rate in ("-1", "x%", "", "nan", "inf", "10001", "1001%")],
)
def test_what_is_no_number_within_bounds_is_refused_by_the_options_name(
    clients: str | None, rates: str | None
) -> None:
    with pytest.raises(CommandError, match="--rates" if clients is None else "--clients"):
        _plan(clients, rates, 5)


def test_texts_are_new_unless_they_are_to_be_in_the_cache() -> None:
    new, mixed = (Texts((), cached, "a") for cached in (0.0, 0.5))
    assert len({new.text(number) for number in range(1_000)}) == 1_000
    warm = {mixed.warm(number) for number in range(100)}
    assert 300 < sum(mixed.text(number) in warm for number in range(1_000)) < 700
    assert not {new.text(number) for number in range(1_000)} & warm


async def test_the_authorities_of_https_are_read_once_for_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read for each, they would hold up the requests that are being timed."""
    read: list[object] = []
    load = ssl.SSLContext.load_default_certs
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda context: read.append(load(context)))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        (loop,) = await measure(url, None, Texts(), "投诉", Plan((8,), shares=(), duration_s=0.5))
    assert loop.errors.total() >= 8
    assert len(read) == 1


def test_own_texts_are_sent_in_turn(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("一\n\n二\n", encoding="utf-8-sig")
    texts = Texts(_lines(file), 0.0, "a")
    assert [texts.text(number) for number in range(3)] == ["一", "二", "一"]
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(CommandError, match="has no text"):
        _lines(file)


@pytest.mark.parametrize("content, reason", [("好".encode("gb18030"), "is not UTF-8"), (None, "cannot be read")])
def test_a_file_that_cannot_be_read_is_refused_by_its_name(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "texts"
    if content:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=f"texts {reason}"):
        _lines(file)


@pytest.mark.parametrize(
    "option, value",
    [
        ("--duration-s", "inf"),
        ("--timeout-s", "0"),
        ("--timeout-s", "1e9"),
        ("--timeout-s", "nan"),
        ("--p99-ms", "nan"),
        ("--p99-ms", "-1"),
        ("--min-requests-per-s", "nan"),
        ("--max-error-share", "1.1"),
        ("--cached", "nan"),
    ],
)
def test_a_number_out_of_bounds_is_refused_before_anything_is_sent(option: str, value: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["bench", "http://127.0.0.1:1", option, value])
    assert result.exit_code == 2, result.output
    assert option in result.output


def test_a_share_of_cached_texts_beside_own_texts_is_refused(tmp_path: Path) -> None:
    arguments = ["bench", "http://127.0.0.1:1", "--cached", "0.5", "--texts", str(tmp_path / "texts.txt")]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, CommandError)
    assert "leave one of them out" in str(result.exception)
