"""What killed servers leave in /dev/shm is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wanneng.errors import StartError
from wanneng.serve import shared_memory
from wanneng.serve.shared_memory import SharedMemory, remove_leftovers

HOLDS = """
import sys, time
from pathlib import Path
from wanneng.serve import shared_memory
shared_memory.FOLDER = Path(sys.argv[1])
memory = shared_memory.SharedMemory()
memory.hold()
(shared_memory.FOLDER / f"{memory.prefix}segment").touch()
print(memory.prefix, flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_only_the_servers_own_shared_memory_is_removed(folder: Path) -> None:
    memory, other = SharedMemory(), SharedMemory()
    for prefix in (memory.prefix, other.prefix):
        (folder / f"{prefix}segment").touch()
    memory.hold()
    memory.remove()
    assert names(folder) == {f"{other.prefix}segment"}


def test_a_running_server_keeps_its_memory_and_a_killed_one_does_not(folder: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    prefix = server.stdout.readline().strip()
    try:
        remove_leftovers()
        assert names(folder) == {f"{prefix}lock", f"{prefix}segment"}
    finally:
        server.kill()
        server.communicate()
    remove_leftovers()
    assert not names(folder)


def test_a_restarted_container_has_the_process_id_of_the_one_before(folder: Path) -> None:
    """Where the memory outlives the container, as an emptyDir does."""
    (folder / f"wanneng_{os.getpid()}_0123abcd_segment").touch()
    remove_leftovers()
    assert not names(folder)


def test_what_belongs_to_others_is_left(folder: Path) -> None:
    others = {"wanneng_1_0123abcd_", "wanneng_cache", "psm_1234", "wanneng_x_0123abcd_segment"}
    for name in others:
        (folder / name).touch()
    if os.geteuid() == 0:
        others.add("wanneng_7_0123abcd_segment")
        (folder / "wanneng_7_0123abcd_segment").touch()
        os.chown(folder / "wanneng_7_0123abcd_segment", 65_534, 65_534)
    remove_leftovers()
    assert names(folder) == others


def test_shared_memory_that_cannot_be_made_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", folder / "missing")
    remove_leftovers()
    with pytest.raises(StartError, match=r"shared memory cannot be created: .*missing.*: No such file"):
        SharedMemory().hold()
