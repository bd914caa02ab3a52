"""Old engines are removed before a new one is built."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import BuildError
from engine.publish import checksum, install, prune


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


def built(folder: Path, weights: str = "w") -> Path:
    (folder / "plans").mkdir(parents=True)
    (folder / "engine.json").write_text("{}", encoding="utf-8")
    (folder / "plans/a.plan").write_text(weights, encoding="utf-8")
    return folder


def test_a_checksum_is_that_of_names_and_contents_wherever_the_engine_is(tmp_path: Path) -> None:
    one = checksum(built(tmp_path / "one"))
    assert re.fullmatch("sha256:[0-9a-f]{64}", one)
    assert checksum(built(tmp_path / "two")) == one
    assert checksum(built(tmp_path / "three", "v")) != one
    renamed = built(tmp_path / "four")
    (renamed / "plans/a.plan").rename(renamed / "plans/b.plan")
    assert checksum(renamed) != one
    with pytest.raises(BuildError, match=r"is no engine: it has no engine\.json"):
        checksum(tmp_path)


def linked_file(folder: Path) -> None:
    (folder / "plans/b.plan").symlink_to(folder / "plans/a.plan")


def linked_folder(folder: Path) -> None:
    (folder / "more").symlink_to(folder / "plans")


def dangling_link(folder: Path) -> None:
    (folder / "none").symlink_to(folder / "nowhere")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def line_break(folder: Path) -> None:
    (folder / "a\nb").write_text("", encoding="utf-8")


def escape_in_a_folder(folder: Path) -> None:
    (folder / "a\x1b[2J").mkdir()


def no_utf_8(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/\xff")).write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (linked_file, "plans/b.plan is a link"),
        (linked_folder, "more is a link"),
        (dangling_link, "none is a link"),
        (pipe, "pipe is a link or no file"),
        (line_break, r"'a\\nb', with a character"),
        (escape_in_a_folder, r"x1b\[2J', with a character"),
        (no_utf_8, r"udcff', with a character"),
    ],
)
def test_what_a_checksum_would_not_tell_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    """A link's target may change after the check, and a name may look like a line of another file."""
    folder = built(tmp_path / "one")
    damage(folder)
    with pytest.raises(BuildError, match=words):
        checksum(folder)


def test_a_downloaded_engine_is_moved_into_place_once_it_is_known_to_be_the_right_one(tmp_path: Path) -> None:
    download, target = tmp_path / ".download-1", tmp_path / "plans/a10"
    expected = checksum(built(download))
    install(download, target, expected)
    assert checksum(target) == expected
    assert not download.exists()


def test_a_damaged_download_is_not_moved_and_is_an_error_again(tmp_path: Path) -> None:
    """The kubelet tries the check again, and not the download."""
    download, target = built(tmp_path / ".download-1", "damaged"), tmp_path / "a10"
    for _ in range(2):
        with pytest.raises(
            BuildError, match=r"\.download-1 has the checksum sha256:\w+, and sha256:0 is expected"
        ):
            install(download, target, "sha256:0")
    assert not target.exists()


def test_an_engine_that_the_disk_has_needs_no_download_and_is_checked_too(tmp_path: Path) -> None:
    target = built(tmp_path / "a10")
    install(tmp_path / ".download-1", target, checksum(target))
    another = built(tmp_path / ".download-2")
    install(another, target, checksum(target))
    assert names(tmp_path) == ["a10"], "another Pod was first"
    (target / "plans/a.plan").write_text("damaged", encoding="utf-8")
    with pytest.raises(BuildError, match="a10 has the checksum"):
        install(built(tmp_path / ".download-3"), target, checksum(built(tmp_path / "whole")))


def test_a_download_that_brought_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nothing was downloaded to"):
        install(tmp_path / ".download-1", tmp_path / "a10", "sha256:0")


def test_what_other_pods_left_half_downloaded_is_removed_after_a_day(tmp_path: Path) -> None:
    target = built(tmp_path / "a10")
    for name, age_s in (("old", 100_000.0), ("new", 100.0)):
        left = built(tmp_path / f".download-{name}")
        os.utime(left, (time.time() - age_s,) * 2)
    install(tmp_path / ".download-1", target, checksum(target))
    assert names(tmp_path) == [".download-new", "a10"]
