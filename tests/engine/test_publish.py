"""Old engines are removed before a new one is built."""

from __future__ import annotations

import os
from pathlib import Path

from engine.publish import prune


def engine(folder: Path, name: str, used_at: float) -> Path:
    path = folder / name
    path.mkdir()
    (path / "engine.json").write_text("{}", encoding="utf-8")
    os.utime(path, (used_at, used_at))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_engines_that_were_used_longest_ago_are_removed(tmp_path: Path) -> None:
    for number, name in enumerate(("c", "a", "d", "b")):
        engine(tmp_path, name, 1_000.0 + number)
    said: list[str] = []
    prune(tmp_path / "new", 3, said.append)
    assert names(tmp_path) == ["b", "d"]
    assert [line.split()[1] for line in said] == [f"{tmp_path}/a,", f"{tmp_path}/c,"]


def test_the_engine_that_is_named_again_stays_and_counts_as_used(tmp_path: Path) -> None:
    old = engine(tmp_path, "old", 1_000.0)
    for name in ("a", "b"):
        engine(tmp_path, name, 2_000.0)
    prune(old, 1, print)
    assert names(tmp_path) == ["old"]
    assert old.stat().st_mtime > 2_000.0


def test_what_is_no_published_engine_stays(tmp_path: Path) -> None:
    (tmp_path / "timings-8.6").write_text("x", encoding="utf-8")
    (tmp_path / "notes").mkdir()
    engine(tmp_path, ".half", 1_000.0)
    prune(tmp_path / "new", 1, print)
    assert names(tmp_path) == [".half", "notes", "timings-8.6"]
