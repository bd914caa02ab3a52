"""A real PostgreSQL of the tests' own: Debian's package, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.server import free_ports

USER = "postgres"
LOOPBACK = "127.0.0.1"


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def as_user(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    return [*prefix, *map(str, command)]


@contextmanager
def running_postgresql(address: str = LOOPBACK, clients: str = f"{LOOPBACK}/32") -> Iterator[str]:
    """The URL of an empty server at `address` that lets `clients`, a network, in; it is gone afterwards."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="wanneng-postgresql-", dir="/tmp"))  # a path that another user may enter
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    (port,) = free_ports(1)
    data = folder / "data"
    try:
        subprocess.run(
            as_user(programs / "initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync"),
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=60,
        )
        with (data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(f"host all all {clients} trust\n")
        options = f"-p {port} -k {folder} -h {address} -F"
        start = as_user(
            programs / "pg_ctl", "-D", data, "-w", "-t", "30", "-l", folder / "log", "-o", options, "start"
        )
        subprocess.run(start, check=True, cwd=folder, timeout=60, stdout=subprocess.DEVNULL)
        yield f"postgresql://{USER}@{address}:{port}"
    finally:
        stop = as_user(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        subprocess.run(stop, check=False, capture_output=True, cwd=folder, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
