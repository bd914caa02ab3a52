"""The state folder is the owner's alone, also where an earlier release left it readable."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wanneng.errors import StartError
from wanneng.serve.access import admin_key
from wanneng.serve.private_files import lock_state_dir, naming_state_files, prepare_state_dir
from wanneng.serve.triton import prepare_triton
from wanneng.settings import CHECKOUT, ServeSettings

ENGINE = CHECKOUT / "tests/golden/small"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Each test begins with the usual one, and changes nobody else's."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_and_what_is_created_in_it_is_private(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    prepare_state_dir(state)
    (state / "triton.log").touch()
    (state / "models").mkdir()
    assert [mode(path) for path in (state, state / "triton.log", state / "models")] == [0o700, 0o600, 0o700]


def test_what_others_could_read_is_private_now_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    outside.touch(0o644)
    state = tmp_path / "state"
    (state / "backends/python").mkdir(parents=True)
    for name, bits in (("wanneng.db", 0o644), ("gateway.log", 0o666), ("backends/python/stub", 0o755)):
        (state / name).touch()
        (state / name).chmod(bits)
    (state / "link").symlink_to(outside)
    prepare_state_dir(state)
    modes = {str(path.relative_to(state)): mode(path) for path in state.rglob("*") if not path.is_symlink()}
    assert modes == {
        "wanneng.db": 0o600,
        "gateway.log": 0o600,
        "backends": 0o700,
        "backends/python": 0o700,
        "backends/python/stub": 0o700,
    }
    assert mode(state) == 0o700
    assert mode(outside) == 0o644


@pytest.mark.parametrize("folder", [Path("/"), CHECKOUT, CHECKOUT.parent, Path.home()])
def test_a_folder_that_holds_more_than_the_state_is_refused(folder: Path) -> None:
    before = mode(folder)
    with pytest.raises(StartError, match="give it a folder of its own"):
        prepare_state_dir(folder)
    assert mode(folder) == before


def test_a_folder_of_all_users_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(StartError, match="is shared with other users"):
        prepare_state_dir(tmp_path)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = Path("/usr/share")
    if os.geteuid() == 0:
        folder = tmp_path
        os.chown(folder, 65_534, 65_534)
    with pytest.raises(StartError, match="is shared with other users"):
        prepare_state_dir(folder)


@pytest.mark.parametrize(
    ("name", "is_folder", "use"),
    [
        ("lock", True, lock_state_dir),
        ("admin.key", True, admin_key),
        ("backends", False, lambda folder: prepare_triton(ServeSettings(engine=ENGINE, state_dir=folder))),
        ("models", False, lambda folder: prepare_triton(ServeSettings(engine=ENGINE, state_dir=folder))),
        ("engine", True, lambda folder: prepare_triton(ServeSettings(engine=ENGINE, state_dir=folder))),
    ],
)
def test_what_is_in_the_way_in_the_state_folder_is_named(
    name: str, is_folder: bool, use: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / name
    if is_folder:
        path.mkdir()
    else:
        path.touch()
    expected = f"^{path} in the state folder cannot be used: .*; move it away$"
    with pytest.raises(StartError, match=expected), naming_state_files(tmp_path):
        use(tmp_path)


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "lock"))
    for error in (full, OSError(errno.EISDIR, "elsewhere", "/etc"), OSError()):
        with pytest.raises(OSError) as raised, naming_state_files(tmp_path):
            raise error
        assert raised.value is error


SHARED_MEMORY = """
import os, sys
from wanneng.serve.seccomp import ignore_fchmod
os.umask(0o077)
ignore_fchmod()
code = 'import os, sys; fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o644); os.fchmod(fd, 0o644)'
os.execv(sys.executable, [sys.executable, '-c', code, sys.argv[1]])
"""


def test_what_sets_the_mode_of_its_file_itself_cannot_open_it_to_others(tmp_path: Path) -> None:
    """As Boost.Interprocess does with shared memory; the filter survives `exec`."""
    segment = tmp_path / "segment"
    subprocess.run([sys.executable, "-c", SHARED_MEMORY, str(segment)], cwd=CHECKOUT, check=True)
    assert mode(segment) == 0o600
