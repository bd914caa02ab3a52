"""`make publish REGISTRY=host[:port]/path`: pushes the images, the chart and their documents."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from publishing import chart, documents
from publishing.commands import Refused, require, run
from publishing.documents import CYCLONEDX, IN_TOTO, Document, Source
from publishing.images import KINDS, ContainerTool, Image
from publishing.registry import Manifest, Registry
from publishing.signing import Signer

ROOT = Path(__file__).parents[1]
PYTHON_PACKAGES, DEBIAN_PACKAGES = "/opt/venv/sbom.cdx.json", "/var/lib/dpkg/status"
ARTIFACT_HUB = "application/vnd.cncf.artifacthub"


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published from where to where, and with what."""

    source: Source
    registry: Registry
    tool: ContainerTool
    signer: Signer | None
    builder: str

    def publish(self, images: list[Image]) -> None:
        """Refuses before anything is pushed if the version is published with other content."""
        known = {image.kind.value: self._published(image) for image in images}
        with tempfile.TemporaryDirectory() as folder:
            found = {key: manifest for key, manifest in known.items() if manifest}
            if len(found) == len(images):
                self._chart(found, images, Path(folder), push=False)
            elif self.registry.find(chart.NAME, self.source.version):
                raise Refused(
                    f"the chart {self._name(chart.NAME)}:{self.source.version} is published without some of these"
                    " images, and published versions never change; raise `version` in pyproject.toml"
                )
        manifests = {image.kind.value: self._image(image, known[image.kind.value]) for image in images}
        with tempfile.TemporaryDirectory() as folder:
            self._chart(manifests, images, Path(folder), push=True)
        self._artifact_hub()

    def _published(self, image: Image) -> Manifest | None:
        manifest = self.registry.find(image.kind.name, self.source.version)
        if manifest is not None and not image.is_published_as(manifest):
            raise Refused(
                f"{self._name(image.kind.name)}:{self.source.version} is published with other content than"
                f" {image.reference}, and published versions never change; raise `version` in pyproject.toml and"
                f" {chart.SOURCE}/Chart.yaml"
            )
        return manifest

    def _image(self, image: Image, known: Manifest | None) -> Manifest:
        kind = image.kind
        manifest = known or self.tool.push(image, self.registry, self.source.version)
        self._say(kind.name, manifest, pushed=known is None)
        subject = (self._name(kind.name), manifest.digest)
        base = kind.base_name(self.source.root)
        provenance = documents.provenance(
            self.source,
            subject,
            target=kind.target,
            builder=(self.builder, {Path(self.tool.program).name: self.tool.version()}),
            started=image.created,
            files=[kind.dockerfile, *(f"requirements/{lock}.txt" for lock in kind.locks)],
            images={base: self.tool.base_digest(image, base)},
        )
        python, dpkg = self.tool.read(image, PYTHON_PACKAGES, DEBIAN_PACKAGES)
        self._attach(kind.name, manifest, provenance, documents.image_materials(subject, python, dpkg))
        return manifest

    def _chart(self, manifests: dict[str, Manifest], images: list[Image], folder: Path, *, push: bool) -> None:
        version = self.source.version
        pins = {i.kind.value: (self._name(i.kind.name), manifests[i.kind.value].digest) for i in images}
        archive = chart.package(self.source.root, folder, version, pins, self.source.repository)
        is_published = chart.is_published(archive, self.registry, version)
        if not push:
            return
        if not is_published:
            chart.push(archive, self.registry)
        manifest = self.registry.find(chart.NAME, version)
        if manifest is None:
            raise Refused(f"{self._name(chart.NAME)}:{version} was pushed, and the registry does not have it")
        self._say(chart.NAME, manifest, pushed=not is_published)
        subject = (self._name(chart.NAME), manifest.digest)
        digests = dict(pins.values())
        provenance = documents.provenance(
            self.source,
            subject,
            target="publish",
            builder=(self.builder, {"helm": run("helm", "version", "--short").strip()}),
            started=max(image.created for image in images),
            images=digests,
        )
        self._attach(chart.NAME, manifest, provenance, documents.chart_materials(subject, digests))

    def _attach(self, name: str, manifest: Manifest, provenance: Document, sbom: Document) -> None:
        with tempfile.TemporaryDirectory() as folder:
            files = {"provenance.json": (IN_TOTO, provenance), "sbom.cdx.json": (CYCLONEDX, sbom)}
            for file, (media_type, document) in files.items():
                path = Path(folder) / file
                path.write_text(json.dumps(document, ensure_ascii=False, sort_keys=True), encoding="utf-8")
                self.registry.attach(f"{name}@{manifest.digest}", media_type, path)
            if self.signer is not None:
                paths = {file: Path(folder) / file for file in files}
                self.signer.sign(f"{self._name(name)}@{manifest.digest}", paths)

    def _artifact_hub(self) -> None:
        file = self.source.root / "helm/artifacthub-repo.yml"
        if not (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("repositoryID"):
            print("wanneng: helm/artifacthub-repo.yml has no repositoryID yet, so it was not pushed")
            return
        layer = f"{ARTIFACT_HUB}.repository-metadata.layer.v1.yaml"
        self.registry.push_file(f"{chart.NAME}:artifacthub.io", f"{ARTIFACT_HUB}.config.v1+yaml", layer, file)

    def _name(self, name: str) -> str:
        return f"{self.registry.address}/{name}"

    def _say(self, name: str, manifest: Manifest, *, pushed: bool) -> None:
        verb = "pushed" if pushed else "already published:"
        print(f"wanneng: {verb} {self._name(name)}:{self.source.version}@{manifest.digest}", flush=True)


def source(root: Path) -> Source:
    """The commit of the checkout, which must be clean."""
    if changed := run("git", "status", "--porcelain", cwd=root).splitlines():
        raise Refused(
            f"the checkout has {len(changed)} uncommitted changes, such as {changed[0][3:]}; commit them"
        )
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    chart.check_version(root, version)
    remotes = run("git", "remote", cwd=root).split()
    remote = run("git", "remote", "get-url", remotes[0], cwd=root).strip() if remotes else ""
    return Source(root, without_credentials(remote), run("git", "rev-parse", "HEAD", cwd=root).strip(), version)


def without_credentials(remote: str) -> str:
    parts = urlsplit(remote)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.scheme else remote


def images(tool: ContainerTool, given: Source, prefix: str, without: str) -> list[Image]:
    """The images to publish, all of which were built of the commit."""
    found = []
    for kind in KINDS:
        if kind.value == "tritonGpu" and without == "gpu":
            print("wanneng: without an image for GPUs; pools on GPUs need images.tritonGpu in their values")
            continue
        image = tool.image(kind, prefix, given.version, given.commit)
        if image is None:
            hint = ", or publish with WITHOUT=gpu" if kind.value == "tritonGpu" else ""
            raise Refused(f"the image {kind.name} {given.version} is not built; run `make {kind.target}`{hint}")
        found.append(image)
    return found


def main() -> None:
    """Exit with 1 and one sentence if the publication is refused or fails."""
    parser = argparse.ArgumentParser(prog="make publish", description=__doc__)
    parser.add_argument("registry", help="host[:port]/path")
    parser.add_argument("--image-prefix", default="localhost/wanneng", help="as IMAGE_PREFIX of `make images`")
    parser.add_argument(
        "--container-tool", default="", help="docker or podman; by default the one that is available"
    )
    parser.add_argument("--without", choices=["", "gpu"], default="", help="gpu: without the image for GPUs")
    parser.add_argument(
        "--builder", default="urn:wanneng:builder:workstation", help="URI of who builds, for provenance"
    )
    parser.add_argument("--sign-key", default="", help="cosign's key: a file, or a key management service")
    parser.add_argument("--sign-option", action="append", default=[], help="another option of cosign")
    given = parser.parse_args()
    try:
        require("helm")
        registry = Registry.at(given.registry)
        tool = ContainerTool.find(given.container_tool)
        commit = source(ROOT)
        signer = Signer.find(given.sign_key, given.sign_option)
        if signer is None and given.sign_key:
            raise Refused("cosign is not installed, and SIGN_KEY asks for signatures; install it")
        to_publish = images(tool, commit, given.image_prefix, given.without)
        Publication(commit, registry, tool, signer, given.builder).publish(to_publish)
        if signer is None:
            print("wanneng: nothing was signed, because cosign is not installed")
    except Refused as refusal:
        sys.exit(f"wanneng: {refusal}")


if __name__ == "__main__":
    main()
