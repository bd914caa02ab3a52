"""A Triton that answers late is given time, and one that is gone is not. tests/e2e has a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from wanneng.serve.alive import SILENCE_S, patiently


def late() -> None:
    raise TimeoutError("timed out")


def gone() -> None:
    raise ConnectionRefusedError("nobody listens")


def test_late_answers_are_a_failure_only_when_they_go_on(tmp_path: Path) -> None:
    file = tmp_path / "silent-since"
    for at in (100.0, 100.0 + SILENCE_S - 1):
        patiently(late, file, lambda at=at: at)  # type: ignore[misc]
    with pytest.raises(TimeoutError):
        patiently(late, file, lambda: 100.0 + SILENCE_S)


def test_an_answer_in_time_ends_the_silence(tmp_path: Path) -> None:
    file = tmp_path / "silent-since"
    patiently(late, file, lambda: 100.0)
    patiently(lambda: None, file, lambda: 120.0)
    patiently(late, file, lambda: 100.0 + SILENCE_S)
    with pytest.raises(TimeoutError):
        patiently(late, file, lambda: 100.0 + 2 * SILENCE_S)


def test_whoever_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ConnectionRefusedError):
        patiently(gone, tmp_path / "silent-since", lambda: 0.0)


def test_a_probe_that_is_killed_while_it_writes_spoils_nothing(tmp_path: Path) -> None:
    class Killed(type(tmp_path)):  # type: ignore[misc]
        """A path of a process that is killed before it has written a byte."""

        def write_text(self, *_: object, **__: object) -> int:
            self.touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        patiently(late, Killed(tmp_path / "silent-since"), lambda: 100.0)
    patiently(late, tmp_path / "silent-since", lambda: 100.0)
