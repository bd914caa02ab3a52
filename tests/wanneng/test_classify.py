from __future__ import annotations

import io

from wanneng.classify import print_bars
from wanneng.console import Console
from wanneng.options import split_labels


def test_bars_are_as_long_as_scores_are_high() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_bars(console, {"labels": ["投诉", "[red]"], "scores": [0.75, 0.25], "truncated": True})
    assert isinstance(console.file, io.StringIO)
    first, second, notice = console.file.getvalue().splitlines()
    assert (first.count("█"), second.count("█")) == (24, 8)
    assert "[red]" in second
    assert "cut" in notice


def test_bars_are_of_characters_that_the_locale_has() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="gbk"), width=80)
    print_bars(console, {"labels": ["投诉"], "scores": [0.75], "truncated": False})
    assert raw.getvalue().decode("gbk").rstrip() == f"投诉 {'#' * 24}{'-' * 8} 0.750"


def test_labels_with_commas_or_repeated() -> None:
    assert split_labels(["a,b"]) == "a,b"
    assert split_labels(["a", "b"]) == ["a", "b"]
