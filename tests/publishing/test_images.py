"""What is read of an image, by a program in the place of Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from publishing.commands import Refused
from publishing.images import KINDS, ContainerTool, Image

IMAGE = Image(KINDS[0], "localhost/wanneng-gateway:0.1.0", "sha256:0", "2026-01-01", ())


def container_tool(folder: Path, copy: str) -> ContainerTool:
    """Whose `cp` is the shell command `copy`."""
    program = folder / "docker"
    cases = f"case $1 in create) echo c0;; rm) echo c0 >> {folder}/removed;; cp) {copy};; esac"
    program.write_text(f"#!/bin/sh\n{cases}\n", encoding="utf-8")
    program.chmod(0o755)
    return ContainerTool(str(program))


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Package: libssl3", encoding="utf-8")
    tool = container_tool(tmp_path, f"tar -c -C {tmp_path} status")
    assert tool.read(IMAGE, "/var/lib/dpkg/status") == [b"Package: libssl3"]


@pytest.mark.parametrize(
    ("copy", "words"),
    [
        ("echo no space left on device >&2; exit 1", "no space left on device"),
        ("mkdir -p {folder}/status && tar -c -C {folder} status", "/var/lib/dpkg/status of the image is no file"),
    ],
)
def test_a_file_that_cannot_be_read_ends_the_publication(copy: str, words: str, tmp_path: Path) -> None:
    """Instead of an SBOM without packages being signed."""
    tool = container_tool(tmp_path, copy.format(folder=tmp_path))
    with pytest.raises(Refused, match=words):
        tool.read(IMAGE, "/var/lib/dpkg/status")
    assert (tmp_path / "removed").read_text(encoding="utf-8") == "c0\n"
