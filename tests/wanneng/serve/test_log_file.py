from __future__ import annotations

from pathlib import Path

from wanneng.serve.log_file import LogFile


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_it_is_appended_to_and_rotated_within_its_bounds(tmp_path: Path) -> None:
    for start in range(3):
        file = LogFile(tmp_path / "x.log", max_bytes=20, files=3)
        for number in range(4):
            file.write(b"line %d%d\n" % (start, number))
        file.close()
    # 12 lines of 8 bytes, of which two fit into a file.
    assert contents(tmp_path) == {
        "x.log": b"line 22\nline 23\n",
        "x.log.1": b"line 20\nline 21\n",
        "x.log.2": b"line 12\nline 13\n",
    }
    assert (tmp_path / "x.log").stat().st_mode & 0o777 == 0o600


def test_many_lines_at_once_are_parted_between_lines(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log", max_bytes=20, files=9)
    file.write(b"".join(b"line %d\n" % number for number in range(10)))
    file.close()
    assert {name: len(content) for name, content in contents(tmp_path).items()} == {
        "x.log": 14,
        **{f"x.log.{number}": 14 for number in range(1, 5)},
    }


def test_a_line_longer_than_a_file_has_one_to_itself(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log", max_bytes=20, files=5)
    file.write(b"short\n" + b"x" * 100 + b"\n" + b"short\n")
    file.close()
    assert contents(tmp_path) == {"x.log": b"short\n", "x.log.1": b"x" * 100 + b"\n", "x.log.2": b"short\n"}


def test_a_line_that_was_cut_off_by_a_crash_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b'{"time":"20')
    file = LogFile(tmp_path / "x.log", max_bytes=1_000, files=2)
    file.write(b"next\n")
    file.close()
    assert (tmp_path / "x.log").read_bytes() == b'{"time":"20\nnext\n'


def test_files_beyond_a_smaller_number_are_removed(tmp_path: Path) -> None:
    for number in range(1, 6):
        (tmp_path / f"x.log.{number}").touch()
    (tmp_path / "x.log.txt").touch()
    file = LogFile(tmp_path / "x.log", max_bytes=1_000, files=3)
    file.write(b"now\n")
    file.close()
    assert set(contents(tmp_path)) == {"x.log", "x.log.1", "x.log.2", "x.log.txt"}


def test_a_full_disk_loses_lines_and_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.symlink_to("/dev/full")
    file = LogFile(path, max_bytes=1_000, files=2)
    file.write(b"a\nb\n")
    file.write(b"c\n")
    assert (file.lost_lines, file.lost_because) == (3, "No space left on device")
    path.unlink()
    file.write(b"d\n")
    file.close()
    assert path.read_bytes() == b"d\n"
