"""A checkout of this one's files in a repository of its own, and images that were built of its commit."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.git_files import ROOT, git_files
from tests.helm.tools import tool

PARTS = ("helm", "publishing", "pyproject.toml", "requirements")
TIMEOUT_S = 300
GIT = ("git", "-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false")


@dataclass
class Checkout:
    root: Path
    prefix: str = field(default_factory=lambda: f"localhost/wn{secrets.token_hex(4)}")
    """Of the names of its images."""
    built: list[str] = field(default_factory=list)

    @classmethod
    def copy(cls, root: Path) -> Checkout:
        if shutil.which("podman") is None:
            pytest.skip("podman is not installed")
        for name in git_files(*PARTS):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        checkout = cls(root)
        (root / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
        checkout.git("init", "--quiet")
        checkout.git("remote", "add", "origin", "https://someone:secret@git.example/wanneng.git")
        checkout.commit()
        return checkout

    def git(self, *arguments: str) -> str:
        done = subprocess.run([*GIT, *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A release")

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def build(self, name: str, base: str = "scratch", files: Mapping[str, str] | None = None) -> None:
        """The image `name`, with the labels that build.sh sets."""
        context = self.root / "build/context"
        shutil.rmtree(context, ignore_errors=True)
        for path, text in (files or {}).items():
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            (context / path).write_text(text, encoding="utf-8")
        lines = [f"FROM {base}", *(f"COPY {path} /{path}" for path in files or {})]
        containerfile = self.root / "build/Containerfile"
        context.mkdir(parents=True, exist_ok=True)
        containerfile.write_text("\n".join(lines) + "\n", encoding="utf-8")
        reference = f"{self.prefix}-{name}:0.1.0"
        labels = {"revision": self.head, "version": "0.1.0"}
        where = (f"--file={containerfile}", str(context))
        options = [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items()]
        subprocess.run(
            ["podman", "build", "--quiet", "--format=docker", f"--tag={reference}", *options, *where],
            check=True,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        shutil.rmtree(self.root / "build")
        self.built.append(reference)

    def remove_images(self) -> None:
        subprocess.run(["podman", "rmi", "--force", *set(self.built)], check=False, capture_output=True)

    def publish(
        self, registry: str, *options: str, environment: Mapping[str, str], programs: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As `make publish`. cosign is missing unless `programs` has one."""
        own = [str(Path(tool(name)).parent) for name in ("helm", "oras")]
        there = [
            folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "cosign").exists()
        ]
        own_images = (f"--image-prefix={self.prefix}", "--container-tool=podman")
        path = os.pathsep.join([*([str(programs)] if programs else []), *own, *there])
        return subprocess.run(
            [sys.executable, "-m", "publishing", registry, *own_images, *options],
            cwd=self.root,
            env=dict(os.environ) | dict(environment) | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
