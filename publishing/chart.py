"""The chart as it is published: its values name the published images by digest."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from publishing.commands import Refused, run
from publishing.registry import Registry

NAME = "wanneng"
SOURCE = "helm/wanneng"


def check_version(root: Path, version: str) -> None:
    chart = yaml.safe_load((root / SOURCE / "Chart.yaml").read_text(encoding="utf-8"))
    for key in ("version", "appVersion"):
        if str(chart[key]) != version:
            raise Refused(f"{SOURCE}/Chart.yaml has {key} {chart[key]}, and pyproject.toml version {version}")


def package(
    root: Path, folder: Path, version: str, images: Mapping[str, tuple[str, str]], repository: str
) -> Path:
    """Write the chart into `folder` and package it. `images` has name and digest by their key in the values."""
    chart = folder / NAME
    shutil.copytree(root / SOURCE, chart)
    values = chart / "values.yaml"
    text = values.read_text(encoding="utf-8")
    for key, (name, digest) in images.items():
        text = pinned(text, key, {"repository": name, "tag": version, "digest": digest})
    values.write_text(text, encoding="utf-8")
    _describe(chart / "Chart.yaml", version, images, repository)
    run(sys.executable, str(root / "helm/readme.py"), "--chart", str(chart))
    run("helm", "package", str(chart), "--destination", str(folder))
    return folder / f"{NAME}-{version}.tgz"


def pinned(values: str, key: str, fields: Mapping[str, str]) -> str:
    """`values` with other fields of `images.<key>`, comments and all else as they are."""
    block = re.search(rf"^  {key}:\n(?:    .*\n)+", values, re.MULTILINE)
    if block is None:
        raise Refused(f"{SOURCE}/values.yaml has no images.{key}")
    new = block[0]
    for field, value in fields.items():
        new, number = re.subn(rf"^    {field}: .*$", f'    {field}: "{value}"', new, flags=re.MULTILINE)
        if number != 1:
            raise Refused(f"{SOURCE}/values.yaml has no images.{key}.{field}")
    return values.replace(block[0], new)


def is_published(archive: Path, registry: Registry, version: str) -> bool:
    """Whether the registry has this chart under its version. Refuses another one of the same version."""
    if registry.find(NAME, version) is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        options = ("--version", version, "--destination", folder, *_plain(registry))
        run("helm", "pull", f"oci://{registry.address}/{NAME}", *options)
        ours, theirs = _contents(archive), _contents(Path(folder) / archive.name)
    if ours != theirs:
        differing = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        raise Refused(
            f"the chart {registry.address}/{NAME}:{version} has other content there, such as {differing[0]},"
            f" and published versions never change; raise `version` in pyproject.toml and {SOURCE}/Chart.yaml"
        )
    return True


def push(archive: Path, registry: Registry) -> None:
    run("helm", "push", str(archive), f"oci://{registry.address}", *_plain(registry))


def _describe(path: Path, version: str, images: Mapping[str, tuple[str, str]], repository: str) -> None:
    chart: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    listed = [
        {"name": name.rpartition("/")[2], "image": f"{name}:{version}@{digest}"}
        for name, digest in images.values()
    ]
    chart["annotations"]["artifacthub.io/images"] = yaml.safe_dump(listed, sort_keys=False, width=1000)
    if repository.startswith("https://"):
        chart["sources"] = [repository]
    path.write_text(yaml.safe_dump(chart, sort_keys=False, allow_unicode=True, width=1000), encoding="utf-8")


def _contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as members:
        files = ((member.name, members.extractfile(member)) for member in members if member.isfile())
        return {name: file.read() for name, file in files if file is not None}


def _plain(registry: Registry) -> tuple[str, ...]:
    return ("--plain-http",) if registry.plain_http else ()
