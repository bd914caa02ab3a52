"""Old engines are removed before a new one is built."""

from __future__ import annotations

import os
import shutil
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
    prune(tmp_path / "new", 3, (), said.append)
    assert names(tmp_path) == ["b", "d"]
    assert [line.split()[1] for line in said] == [f"{tmp_path}/a,", f"{tmp_path}/c,"]


def test_the_engine_that_is_named_again_stays_and_counts_as_used(tmp_path: Path) -> None:
    old = engine(tmp_path, "old", 1_000.0)
    for name in ("a", "b"):
        engine(tmp_path, name, 2_000.0)
    prune(old, 1, (), print)
    assert names(tmp_path) == ["old"]
    assert old.stat().st_mtime > 2_000.0


def test_what_is_no_published_engine_stays(tmp_path: Path) -> None:
    (tmp_path / "timings-8.6").write_text("x", encoding="utf-8")
    (tmp_path / "notes").mkdir()
    engine(tmp_path, ".half", 1_000.0)
    prune(tmp_path / "new", 1, (), print)
    assert names(tmp_path) == [".half", "notes", "timings-8.6"]


def test_engines_that_others_name_stay_and_count_as_used(tmp_path: Path) -> None:
    """Two builds of a release: neither removes what the other names, nor what Pods of the one before run."""
    for number, name in enumerate(("named", "oldest", "runs_a", "runs_b")):
        engine(tmp_path, name, 1_000.0 + number)
    also = (tmp_path / "named", Path("/elsewhere/plans"))
    prune(tmp_path / "new", 4, also, print)
    assert names(tmp_path) == ["named", "runs_a", "runs_b"]
    assert (tmp_path / "named").stat().st_mtime > 2_000.0


def test_an_engine_that_another_build_removes_at_the_same_time_is_no_error(tmp_path: Path) -> None:
    class Vanishing(type(tmp_path)):  # type: ignore[misc]
        """Gone once it has been looked at."""

        def is_file(self) -> bool:
            found: bool = super().is_file()
            shutil.rmtree(self.parent, ignore_errors=True)
            return found

    engine(tmp_path, "old", 1_000.0)
    said: list[str] = []
    prune(Vanishing(tmp_path / "new"), 1, (), said.append)
    assert said == []
    assert names(tmp_path) == []
