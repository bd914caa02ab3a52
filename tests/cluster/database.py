"""PostgreSQL on this machine, for Pods of its own cluster."""

from __future__ import annotations

import subprocess

from tests.postgresql import PostgresServer, as_user

NODE = "10.244.0.1"
"""This machine, as Pods reach it."""
PODS = "10.244.0.0/16"
EGRESS = [{"to": [{"ipBlock": {"cidr": f"{NODE}/32"}}]}]
"""Rules of a network policy that allow connections to it."""
TIMEOUT_S = 60


def create_database(server: PostgresServer, name: str) -> str:
    """The URL of a new and empty database."""
    options = ("--host", server.address, "--port", str(server.port), "--username", "postgres")
    command = as_user(server.programs / "createdb", *options, name)
    subprocess.run(command, check=True, cwd=server.data.parent, timeout=TIMEOUT_S, capture_output=True)
    return f"{server.url}/{name}"
