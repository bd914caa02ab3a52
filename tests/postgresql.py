"""A real PostgreSQL of the tests' own: Debian's package, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.server import descendants, free_ports

USER = "postgres"
LOOPBACK = "127.0.0.1"


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def as_user(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    return [*prefix, *map(str, command)]


@dataclass
class PostgresServer:
    """A cluster in `data`, listening at `address`."""

    programs: Path
    data: Path
    address: str
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        return int((self.data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def start(self) -> None:
        """Also after it was killed; it answers afterwards."""
        folder = self.data.parent
        options = f"-p {self.port} -k {folder} -h {self.address} -F"
        control = [
            self.programs / "pg_ctl",
            "-D",
            self.data,
            "-w",
            "-t",
            "30",
            "-l",
            folder / "log",
            "-o",
            options,
        ]
        start = as_user(*control, "start")
        subprocess.run(start, check=True, cwd=folder, timeout=60, stdout=subprocess.DEVNULL)

    def signal(self, number: signal.Signals) -> None:
        """To the postmaster and all of its processes."""
        for pid in {self.pid} | descendants(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def postgresql_server(address: str = LOOPBACK, clients: str = f"{LOOPBACK}/32") -> Iterator[PostgresServer]:
    """An empty server at `address` that lets `clients`, a network, in; it is gone afterwards."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="wanneng-postgresql-", dir="/tmp"))  # a path that another user may enter
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    server = PostgresServer(programs, folder / "data", address, free_ports(1)[0])
    try:
        subprocess.run(
            as_user(programs / "initdb", "-D", server.data, "-U", USER, "--auth=trust", "--no-sync"),
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=60,
        )
        with (server.data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(f"host all all {clients} trust\n")
        server.start()
        yield server
    finally:
        stop = as_user(programs / "pg_ctl", "-D", server.data, "-m", "immediate", "stop")
        subprocess.run(stop, check=False, capture_output=True, cwd=folder, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
