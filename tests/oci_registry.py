"""A real container registry of the tests' own: Debian's docker-registry on a free port, with a password."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.server import free_ports

USER, PASSWORD = "publisher", "publish"
HTPASSWD = f"{USER}:$2b$04$SgIqpZWDyWa11l2c/xOgcOHNeSFFKK72vX0AcAe7YxKFVSR0xELg2\n"


@dataclass(frozen=True)
class OciRegistry:
    address: str
    """127.0.0.1:port"""
    folder: Path

    def credentials(self, password: str = PASSWORD) -> dict[str, str]:
        """Variables that lead the programs to a file of credentials."""
        file = self.folder / f"credentials-{password}" / "config.json"
        file.parent.mkdir(exist_ok=True)
        secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
        file.write_text(json.dumps({"auths": {self.address: {"auth": secret}}}), encoding="utf-8")
        return {
            "DOCKER_CONFIG": str(file.parent),
            "REGISTRY_AUTH_FILE": str(file),
            "HELM_REGISTRY_CONFIG": str(file),
        }


@contextmanager
def oci_registry(folder: Path, *, with_password: bool = True) -> Iterator[OciRegistry]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    port = free_ports(1)[0]
    passwords = folder / "htpasswd"
    passwords.write_text(HTPASSWD, encoding="utf-8")
    configuration = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if with_password:
        configuration["auth"] = {"htpasswd": {"realm": "tests", "path": str(passwords)}}
    file = folder / "registry.yaml"
    file.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML
    process = subprocess.Popen([program, "serve", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ends = time.monotonic() + 20
        while not _is_open(port):
            assert process.poll() is None, "the registry ended"
            assert time.monotonic() < ends, "the registry does not answer"
            time.sleep(0.05)
        yield OciRegistry(f"127.0.0.1:{port}", folder)
    finally:
        process.kill()
        process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
