"""Other users of this machine read no text and no key, and get nothing by taking a port."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.attacked import LABELS, TEXT, Attacked, upload
from tests.e2e.server import ROOT, command_line, descendants, serving
from tests.e2e.strangers import Squatter, readable
from tests.polling import until

GOLDEN_ENGINE = ROOT / "tests/golden/small"


def test_another_user_reads_no_text_and_no_key_anywhere(attacked: Attacked) -> None:
    """The same search as root finds each of them: it would notice what is readable."""
    if os.geteuid() != 0:
        pytest.skip("only root can search as another user")
    state = attacked.server.state_dir
    texts = [f"{TEXT} {number} " * 10 for number in range(16)]
    assert attacked.server.classify(texts=texts, labels=LABELS).status_code == 200
    assert upload(attacked).status_code == 200
    content = {"labels": [TEXT, "b"]}
    assert attacked.ask("PUT", "/v1/label-sets/secret", json=content).status_code == 201
    pids = [attacked.server.process.pid, *descendants(attacked.server.process.pid)]
    folders = [state.parent, Path("/dev/shm")]

    as_root = readable(attacked.secrets, folders, pids, "root")
    places: dict[str, set[str]] = {name: set() for name in attacked.secrets}
    for path, names in as_root.items():
        for name in names:
            places[name].add("shm" if path.startswith("/dev/shm/") else "proc" if "/proc/" in path else "state")
    assert "state" in places["admin key"]
    assert "proc" in places["internal key"]
    assert places["text"] >= {"state", "shm"}, "Triton's shared memory has the texts that it was asked"

    as_nobody = readable(attacked.secrets, folders, pids)
    assert {path: names for path, names in as_nobody.items() if names} == {}
    assert not [path for path in as_nobody if path.startswith(str(state))]
    ours = {path for path in as_root if path.startswith(f"/dev/shm/wanneng_{attacked.server.process.pid}_")}
    assert ours
    assert not ours & as_nobody.keys()
    assert not [path for path in as_nobody if path.endswith("/environ")]
    assert len([path for path in as_nobody if path.endswith("/cmdline")]) == len(pids), "arguments are everybody's"


def test_the_state_folder_is_its_owners_alone(attacked: Attacked) -> None:
    state = attacked.server.state_dir
    modes = {path: path.lstat().st_mode for path in (state, *state.rglob("*")) if not path.is_symlink()}
    assert {str(path): oct(mode) for path, mode in modes.items() if stat.S_IMODE(mode) & 0o077} == {}
    assert {"wanneng.db", "admin.key", "local.key", "triton.log", "serve.log"} <= {path.name for path in modes}
    for segment in Path("/dev/shm").glob(f"wanneng_{attacked.server.process.pid}_*"):
        assert stat.S_IMODE(segment.stat().st_mode) == 0o600


@pytest.mark.parametrize("part", ["Triton", "the control plane"])
def test_whoever_takes_the_port_of_a_part_that_ended_hears_nothing(tmp_path: Path, part: str) -> None:
    """Texts and keys go to what the same user listens on alone; when the port is free again, all is well again."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    with serving(tmp_path, GOLDEN_ENGINE) as server:
        secret = {"Authorization": f"Bearer {(tmp_path / 'local.key').read_text(encoding='utf-8').strip()}"}

        def ask() -> int:
            if part == "Triton":
                return server.classify(text=f"秘密 {time.monotonic()}", labels=LABELS).status_code
            url = f"{server.url}/v1/label-sets"
            return httpx.get(url, headers=secret, timeout=30, trust_env=False).status_code

        assert ask() == 200
        port = int(server.triton_http.rpartition(":")[2]) if part == "Triton" else server.ports[4]
        command = "bin/tritonserver" if part == "Triton" else "-m control_plane serve"
        squatter = Squatter(port)
        pid = next(pid for pid in descendants(server.process.pid) if command in command_line(pid))
        os.kill(pid, signal.SIGKILL)
        squatter.wait_until_listening()
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            assert ask() == 503
            time.sleep(0.1)
        assert squatter.connections() == 0
        until(lambda: ask() == 200, f"{part} did not come back", timeout_s=90)
