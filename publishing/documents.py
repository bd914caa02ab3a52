"""The documents of a published image or chart: SLSA provenance (in-toto) and an SBOM (CycloneDX).

Both are the same whenever they are made for the same image, so a publication that was interrupted can be repeated.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

IN_TOTO, CYCLONEDX = "application/vnd.in-toto+json", "application/vnd.cyclonedx+json"
BUILD_TYPE = "urn:wanneng:build:make-publish:v1"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The commit that is published."""

    root: Path
    repository: str
    """Address of the Git repository, without credentials; empty if the checkout has no remote."""
    commit: str
    version: str


def provenance(
    source: Source,
    subject: tuple[str, str],
    *,
    target: str,
    builder: tuple[str, Mapping[str, str]],
    started: str,
    files: Sequence[str] = (),
    images: Mapping[str, str | None],
) -> Document:
    """SLSA provenance v1 of `subject` (name and digest), built by `make <target>` from the commit and images."""
    repository = source.repository or "checkout"
    materials: list[Document] = [
        {"uri": f"git+{repository}@{source.commit}", "digest": {"gitCommit": source.commit}},
        *({"uri": file, "digest": {"sha256": sha256(source.root / file)}} for file in files),
        *(
            {"uri": f"oci://{name}", **({"digest": _parts(digest)} if digest else {})}
            for name, digest in images.items()
        ),
    ]
    name, versions = builder
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": subject[0], "digest": _parts(subject[1])}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"target": target, "version": source.version, "repository": repository},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": name, "version": dict(versions)},
                "metadata": {"startedOn": started},
            },
        },
    }


def image_materials(subject: tuple[str, str], python: bytes, dpkg: bytes) -> Document:
    """The packages of an image: what cyclonedx-py found in it, and those in dpkg's status file."""
    document = json.loads(python)
    components = [*document.get("components", ()), *(_package(entry) for entry in _stanzas(dpkg))]
    return _bill(subject, "container", components) | {"dependencies": document.get("dependencies", [])}


def chart_materials(subject: tuple[str, str], images: Mapping[str, str]) -> Document:
    """The images that a chart runs, by name and digest."""
    components = [
        {"type": "container", "bom-ref": name, "name": name, "version": digest, "purl": _oci_purl(name, digest)}
        for name, digest in images.items()
    ]
    return _bill(subject, "application", components)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bill(subject: tuple[str, str], kind: str, components: list[Document]) -> Document:
    name, digest = subject
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{name}@{digest}')}",
        "version": 1,
        "metadata": {"component": {"type": kind, "bom-ref": digest, "name": name, "version": digest}},
        "components": components,
    }


def _stanzas(status: bytes) -> list[dict[str, str]]:
    """The installed packages."""
    entries = [
        dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        for stanza in status.decode(errors="replace").split("\n\n")
    ]
    return [entry for entry in entries if entry.get("Status", "").endswith(" installed")]


def _package(entry: Mapping[str, str]) -> Document:
    name, version, architecture = entry["Package"], entry["Version"], entry.get("Architecture", "all")
    purl = f"pkg:deb/{name}@{quote(version, safe='.~-')}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _oci_purl(name: str, digest: str) -> str:
    return f"pkg:oci/{name.rpartition('/')[2]}@{quote(digest, safe='')}?repository_url={quote(name, safe='')}"


def _parts(digest: str) -> dict[str, str]:
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}
