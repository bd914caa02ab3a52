"""What a container registry holds of a release, and documents attached to it as OCI referrers, by means of oras.

The programs read credentials from their own files, all of them from ~/.docker/config.json.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path

from publishing.commands import Refused, require, run

ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
NOT_FOUND = ": not found"


@dataclass(frozen=True, slots=True)
class Manifest:
    digest: str
    config: str
    """Digest of the configuration, which is the id of an image."""


@dataclass(frozen=True, slots=True)
class Registry:
    """`address` is host[:port]/path. Hosts on loopback are asked in plain HTTP, as Docker does."""

    address: str

    @classmethod
    def at(cls, address: str) -> Registry:
        if not ADDRESS.fullmatch(address):
            raise Refused(f"REGISTRY={address!r} is no registry; it has the form host[:port]/path, in lower case")
        require("oras")
        return cls(address)

    @property
    def plain_http(self) -> bool:
        match = ADDRESS.fullmatch(self.address)
        host = match["host"].strip("[]") if match else ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def find(self, name: str, version: str) -> Manifest | None:
        """The manifest behind a tag, or None where the registry has none."""
        try:
            found = json.loads(
                self._oras("manifest", "fetch", "--format=json", f"{self.address}/{name}:{version}")
            )
        except Refused as refusal:
            # oras has one exit code for every failure.
            if str(refusal).endswith(NOT_FOUND):
                return None
            raise
        if "config" not in found["content"]:
            raise Refused(f"{self.address}/{name}:{version} is an index of images, which this did not publish")
        return Manifest(found["digest"], found["content"]["config"]["digest"])

    def attach(self, subject: str, media_type: str, document: Path) -> None:
        """Make `document` a referrer of `subject` (name@digest), unless it has one of this type."""
        reference = f"{self.address}/{subject}"
        known = json.loads(self._oras("discover", "--format=json", reference))
        if any(referrer["artifactType"] == media_type for referrer in known.get("referrers") or ()):
            return
        self._oras(
            "attach",
            f"--artifact-type={media_type}",
            reference,
            f"{document.name}:{media_type}",
            cwd=document.parent,
        )

    def push_file(self, name: str, config_type: str, media_type: str, file: Path) -> None:
        """Push one file under a tag (`name` is name:tag) that may change."""
        options = (f"--config=/dev/null:{config_type}", f"{self.address}/{name}", f"{file.name}:{media_type}")
        self._oras("push", *options, cwd=file.parent)

    def _oras(self, *arguments: str, cwd: Path | None = None) -> str:
        verb = arguments[:2] if arguments[0] == "manifest" else arguments[:1]
        plain = ("--plain-http",) if self.plain_http else ()
        return run("oras", *verb, *plain, *arguments[len(verb) :], cwd=cwd)
