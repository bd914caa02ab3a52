"""A PostgreSQL that asks for a password, and on TCP for TLS with a certificate of the tests' own authority."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.postgresql import USER, PostgresServer, as_user, postgresql_server

ROLE, PASSWORD = "o'brien@corp", "p@ss:/w?o#r%d & 密码"
RULES = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class SecurePostgres:
    server: PostgresServer
    authority: Path
    """Its certificate."""
    other_authority: Path
    """That of somebody else."""

    @property
    def login(self) -> str:
        return f"{quote(ROLE, safe='')}:{quote(PASSWORD, safe='')}"

    @property
    def url(self) -> str:
        """Of the role's database, with its password and without a word of TLS."""
        return f"postgresql://{self.login}@{self.server.address}:{self.server.port}/postgres"


@contextmanager
def secure_postgresql_server(folder: Path) -> Iterator[SecurePostgres]:
    with postgresql_server() as server:
        authority, other = make_authority(folder, "authority"), make_authority(folder, "other")
        for path, name in zip(make_certificate(folder), ("server.crt", "server.key"), strict=True):
            shutil.copy(path, server.data / name)
            (server.data / name).chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(server.data / name, USER)
        _as_superuser(server, f"CREATE ROLE \"{ROLE}\" SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("ssl = on\n")
        (server.data / "pg_hba.conf").write_text(RULES, encoding="utf-8")
        restart = as_user(server.programs / "pg_ctl", "-D", server.data, "-w", "-m", "fast", "restart")
        subprocess.run(restart, check=True, cwd=server.data.parent, timeout=60, stdout=subprocess.DEVNULL)
        yield SecurePostgres(server, authority, other)


@pytest.fixture(scope="session")
def secure_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecurePostgres]:
    with secure_postgresql_server(tmp_path_factory.mktemp("tls")) as server:
        yield server


def _as_superuser(server: PostgresServer, statement: str) -> None:
    command: list[str | Path] = ["psql", "-h", server.address, "-p", str(server.port), "-U", USER, "-c", statement]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def make_authority(folder: Path, name: str) -> Path:
    certificate = folder / f"{name}.crt"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", certificate),
    )
    return certificate


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A server's for 127.0.0.1, of the authority `authority` in `folder`; and its key."""
    request, extension = folder / "server.csr", folder / "server.ext"
    extension.write_text("subjectAltName = IP:127.0.0.1\n", encoding="ascii")
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=server"),
        *("-keyout", folder / "server.key", "-out", request),
    )
    _openssl(
        *("x509", "-req", "-in", request, "-days", "2", "-CA", folder / "authority.crt"),
        *("-CAkey", folder / "authority.key", "-CAcreateserial", "-extfile", extension),
        *("-out", folder / "server.crt"),
    )
    return folder / "server.crt", folder / "server.key"


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
