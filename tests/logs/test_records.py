from __future__ import annotations

import json

import pytest

from logs.records import MAX_CHARACTERS, json_line, record, text_line, timestamp

FORGED = 'x\n{"time":"2026-01-01T00:00:00.000Z","level":"info","logger":"access","message":"request"}'


def test_a_time_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert timestamp(1_795_651_242.6539) == "2026-11-26T00:00:42.653Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_message_begins_a_second_line(end: str) -> None:
    """By every line break that Python or a log reader knows."""
    entry = record(0, "info", "x", f"a{end}2026-01-01 forged", tenant=f"t{end}u")
    for line in (json_line(entry), text_line(entry)):
        assert len(line.splitlines()) == 1, line
    assert json.loads(json_line(entry))["message"] == f"a{end}2026-01-01 forged"


def test_a_traceback_is_one_record_whose_lines_begin_with_spaces_in_text() -> None:
    entry = record(0, "error", "x", "failed", exception=f"Traceback\n  File\r\nValueError: {FORGED}\u2028y")
    assert len(json_line(entry).splitlines()) == 1
    first, *rest = text_line(entry).splitlines()
    assert first == "1970-01-01T00:00:00.000Z ERROR    x: failed"
    assert len(rest) == 4
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("character", ["\x1b[31m", "\x7f", "\x9b", "\u202e", "\u2066", "\ufeff", "\ud800", "\0"])
def test_what_steers_a_terminal_or_cannot_be_encoded_is_escaped(character: str) -> None:
    entry = record(0, "info", "x", f"a{character}b 万能")
    for line in (json_line(entry), text_line(entry)):
        assert character not in line
        assert "万能" in line
        line.encode()
    assert json.loads(json_line(entry))["message"] == f"a{character}b 万能"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://wanneng:PASSWORD@db.example:5432/wanneng",
        "redis://:PASSWORD@cache/0",
        "rediss://default:PASS@WORD@cache/0",
        "{'Authorization': 'Bearer PASSWORD'}",
        "authorization: basic PASSWORD",
        "the key wn_3f2a_PASSWORD is unknown",
        "connect(host=db password=PASSWORD port=5432)",
    ],
)
def test_a_secret_is_hidden_wherever_it_comes_from(text: str) -> None:
    """The last line of defence, as where a library puts a URL into its error."""
    entry = record(0, "error", "x", text, exception=text)
    for line in (json_line(entry), text_line(entry)):
        assert "PASS" not in line
        assert "WORD" not in line.replace("password", "")
        assert "***" in line


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    entry = record(0, "info", "x", "a" + "x" * 2 * MAX_CHARACTERS + "z")
    assert len(entry["message"]) < MAX_CHARACTERS + 50
    assert entry["message"][0] + entry["message"][-1] == "az"
