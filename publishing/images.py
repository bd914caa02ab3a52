"""Images as Docker or Podman have them: what they were built from, their packages, and the push."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publishing.commands import Refused, require, run, run_bytes
from publishing.registry import Manifest, Registry

REVISION, VERSION = "org.opencontainers.image.revision", "org.opencontainers.image.version"
PING_S = 20.0


@dataclass(frozen=True, slots=True)
class Kind:
    """An image of helm/docker."""

    name: str
    value: str
    """Its key in the chart's `images`."""
    dockerfile: str
    base: str
    """The argument of the Dockerfile that names the base image."""
    locks: tuple[str, ...]
    target: str

    def base_name(self, root: Path) -> str:
        text = (root / self.dockerfile).read_text(encoding="utf-8")
        names: list[str] = re.findall(rf"^ARG {self.base}=(\S+)$", text, re.MULTILINE)
        return names[0]


GATEWAY_FILE, TRITON_FILE = "helm/docker/gateway.Dockerfile", "helm/docker/triton.Dockerfile"
KINDS = (
    Kind("wanneng-gateway", "gateway", GATEWAY_FILE, "BASE", ("gateway", "sbom"), "images"),
    Kind("wanneng-triton", "tritonCpu", TRITON_FILE, "CPU_BASE", ("triton", "sbom"), "images"),
    Kind("wanneng-triton-gpu", "tritonGpu", TRITON_FILE, "GPU_BASE", ("plans", "sbom"), "images-gpu"),
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the store of Docker or Podman."""

    kind: Kind
    reference: str
    id: str
    created: str
    layers: tuple[str, ...]

    def is_published_as(self, manifest: Manifest) -> bool:
        """Docker's containerd store names an image by its manifest, other stores by its configuration."""
        return self.id in (manifest.config, manifest.digest)


@dataclass(frozen=True, slots=True)
class ContainerTool:
    """`docker` or `podman`."""

    program: str

    @classmethod
    def find(cls, chosen: str) -> ContainerTool:
        """The one of these that is available, as build.sh chooses it, unless `chosen` names one."""
        program = require(chosen) if chosen else require("docker", "podman")
        if program == "docker" and not chosen:
            # Docker's client without a daemon.
            ping = subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=PING_S)
            program = "docker" if ping.returncode == 0 else require("podman")
        return cls(program)

    def image(self, kind: Kind, prefix: str, version: str, commit: str) -> Image | None:
        """The image that was built of this commit, or None if there is no image."""
        reference = f"{prefix}{kind.name.removeprefix('wanneng')}:{version}"
        found = self._inspect(reference)
        if found is None:
            return None
        labels = found["Config"].get("Labels") or {}
        if (labels.get(REVISION), labels.get(VERSION)) != (commit, version):
            raise Refused(
                f"{reference} was built from commit {labels.get(REVISION)} as version {labels.get(VERSION)}, and"
                f" the checkout is at {commit}, version {version}; run `make {kind.target}`"
            )
        return Image(kind, reference, _digest(found["Id"]), found["Created"], tuple(found["RootFS"]["Layers"]))

    def base_digest(self, image: Image, base: str) -> str | None:
        """Digest of the base image, if this store has the one that `image` was built on."""
        found = self._inspect(base)
        if found is None or tuple(found["RootFS"]["Layers"]) != image.layers[: len(found["RootFS"]["Layers"])]:
            return None
        digests = [name.partition("@")[2] for name in found.get("RepoDigests") or ()]
        return digests[0] if digests else None

    def read(self, image: Image, *paths: str) -> list[bytes]:
        """Contents of files of an image; `Refused` for one that it lacks, or that cannot be read."""
        container = run(self.program, "create", image.reference, "unused").split()[-1]
        try:
            return [self._copy(container, path) for path in paths]
        finally:
            run(self.program, "rm", container)

    def push(self, image: Image, registry: Registry, version: str) -> Manifest:
        remote = f"{registry.address}/{image.kind.name}:{version}"
        plain = ("--tls-verify=false",) if registry.plain_http and self.program == "podman" else ()
        run(self.program, "tag", image.reference, remote)
        try:
            run(self.program, "push", *plain, remote)
        finally:
            run(self.program, "rmi", remote)  # the name only
        manifest = registry.find(image.kind.name, version)
        if manifest is None or not image.is_published_as(manifest):
            raise Refused(f"{remote} is not what was pushed; somebody else publishes there at the same time")
        return manifest

    def version(self) -> str:
        return run(self.program, "--version").strip()

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        if not run(self.program, "images", "--quiet", reference).strip():
            return None
        found: dict[str, Any] = json.loads(run(self.program, "image", "inspect", reference))[0]
        return found

    def _copy(self, container: str, path: str) -> bytes:
        archive = run_bytes(self.program, "cp", f"{container}:{path}", "-")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            file = files.extractfile(files.getmembers()[0])
            if file is None:
                raise Refused(f"{path} of the image is no file")
            return file.read()


def _digest(image_id: str) -> str:
    return image_id if image_id.startswith("sha256:") else f"sha256:{image_id}"
