"""`make publish` with Podman, Helm and oras, in a real registry on loopback that wants a password."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.tools import CHART, ROOT, TOOLS, tool
from tests.oci_registry import OciRegistry, oci_registry
from tests.publishing.checkout import Checkout

IN_TOTO, CYCLONEDX = "application/vnd.in-toto+json", "application/vnd.cyclonedx+json"
DPKG = """Package: libssl3
Status: install ok installed
Architecture: amd64
Version: 3.0.17-1~deb12u3
Description: shared libraries
 of OpenSSL

Package: removed
Status: deinstall ok config-files
Version: 1

"""
PACKAGES = {"components": [{"type": "library", "name": "httptools", "version": "0.7.1"}], "dependencies": []}
FILES = {"var/lib/dpkg/status": DPKG, "opt/venv/sbom.cdx.json": json.dumps(PACKAGES)}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OciRegistry]:
    with oci_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout.copy(tmp_path / "checkout")
    made.build("gateway", files=FILES)
    made.build("triton", files=FILES | {"model": "embedded"})
    yield made
    made.remove_images()


class Published:
    """The registry's contents under one path."""

    def __init__(self, registry: OciRegistry, path: str) -> None:
        self.registry = registry
        self.address = f"{registry.address}/{path}"

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [tool(program), *arguments],
            env=dict(os.environ) | self.registry.credentials(),
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def digest(self, name: str) -> str:
        found = self.run(
            "oras", "manifest", "fetch", "--plain-http", "--descriptor", f"{self.address}/{name}:0.1.0"
        )
        return str(json.loads(found)["digest"])

    def referrers(self, name: str) -> list[str]:
        reference = f"{self.address}/{name}@{self.digest(name)}"
        found = json.loads(self.run("oras", "discover", "--plain-http", "--format=json", reference))
        return sorted(referrer["artifactType"] for referrer in found["referrers"])

    def document(self, name: str, kind: str) -> dict[str, Any]:
        reference = f"{self.address}/{name}@{self.digest(name)}"
        found = json.loads(self.run("oras", "discover", "--plain-http", "--format=json", reference))
        (referrer,) = [r["reference"] for r in found["referrers"] if r["artifactType"] == kind]
        layers = json.loads(self.run("oras", "manifest", "fetch", "--plain-http", referrer))["layers"]
        blob = f"{self.address}/{name}@{layers[0]['digest']}"
        document: dict[str, Any] = json.loads(
            self.run("oras", "blob", "fetch", "--plain-http", "--output=-", blob)
        )
        return document

    def rendered(self) -> str:
        chart = f"oci://{self.address}/wanneng"
        return self.run("helm", "template", "w", chart, "--version=0.1.0", "--plain-http")

    def chart(self, folder: Path) -> Path:
        options = ("--version=0.1.0", "--plain-http", "--untar", f"--untardir={folder}")
        self.run("helm", "pull", f"oci://{self.address}/wanneng", *options)
        return folder / "wanneng"


def publish(checkout: Checkout, registry: OciRegistry, path: str, *options: str, **kwargs: Any) -> tuple[int, str]:
    done = checkout.publish(
        f"{registry.address}/{path}", "--without=gpu", *options, environment=registry.credentials(), **kwargs
    )
    return done.returncode, done.stdout + done.stderr


def test_a_published_chart_runs_the_images_that_it_was_published_with(
    checkout: Checkout, registry: OciRegistry, tmp_path: Path
) -> None:
    code, output = publish(checkout, registry, "whole/path")
    assert code == 0, output
    there = Published(registry, "whole/path")
    names = ("wanneng-gateway", "wanneng-triton", "wanneng")
    for name in names:
        assert f"pushed {there.address}/{name}:0.1.0@{there.digest(name)}" in output
    assert "nothing was signed, because cosign is not installed" in output
    assert "without an image for GPUs" in output

    images = set(re.findall(r'^\s+image: "(\S+)"$', there.rendered(), re.MULTILINE))
    assert images == {f"{there.address}/{name}@{there.digest(name)}" for name in names[:2]}

    chart = there.chart(tmp_path)
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    own = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert values["images"]["gateway"]["tag"] == "0.1.0"  # engines are named after it
    assert values["images"]["tritonGpu"] == own["images"]["tritonGpu"]
    assert {**values, "images": None} == {**own, "images": None}
    assert there.digest("wanneng-triton") in (chart / "README.md").read_text(encoding="utf-8")
    listed = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    annotated = yaml.safe_load(listed["annotations"]["artifacthub.io/images"])
    assert annotated[0]["image"] == f"{there.address}/{names[0]}:0.1.0@{there.digest(names[0])}"
    assert listed["sources"] == ["https://git.example/wanneng.git"]

    for name in names:
        assert there.referrers(name) == [CYCLONEDX, IN_TOTO]
        statement = there.document(name, IN_TOTO)
        assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
        (subject,) = statement["subject"]
        assert (subject["name"], subject["digest"]["sha256"]) == (
            f"{there.address}/{name}",
            there.digest(name).removeprefix("sha256:"),
        )
        materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        assert materials[0]["digest"] == {"gitCommit": checkout.head}
        assert "secret" not in json.dumps(statement)
    materials = there.document("wanneng-gateway", IN_TOTO)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [m["uri"] for m in materials[1:4]] == [
        "helm/docker/gateway.Dockerfile",
        "requirements/gateway.txt",
        "requirements/sbom.txt",
    ]
    packages = {c["name"]: c["version"] for c in there.document("wanneng-gateway", CYCLONEDX)["components"]}
    assert packages == {"httptools": "0.7.1", "libssl3": "3.0.17-1~deb12u3"}
    runs = {c["name"]: c["version"] for c in there.document("wanneng", CYCLONEDX)["components"]}
    assert runs == {f"{there.address}/{name}": there.digest(name) for name in names[:2]}


def test_a_version_is_published_once(checkout: Checkout, registry: OciRegistry, tmp_path: Path) -> None:
    code, output = publish(checkout, registry, "once")
    assert code == 0, output
    there = Published(registry, "once")
    first = there.digest("wanneng"), there.digest("wanneng-gateway")
    code, output = publish(checkout, registry, "once")
    assert code == 0, output
    assert output.count("already published") == 3
    assert there.referrers("wanneng-gateway") == [CYCLONEDX, IN_TOTO]

    # With an image more, the chart would be another one.
    checkout.build("triton-gpu", files=FILES | {"model": "none"})
    done = checkout.publish(f"{registry.address}/once", environment=registry.credentials())
    assert done.returncode == 1
    assert "is published without some of these images" in done.stderr

    checkout.build("gateway", files=FILES | {"changed": "yes"})
    code, output = publish(checkout, registry, "once")
    assert code == 1
    assert f"{there.address}/wanneng-gateway:0.1.0 is published with other content" in output
    assert first == (there.digest("wanneng"), there.digest("wanneng-gateway"))


def test_a_chart_of_other_content_is_not_replaced(
    checkout: Checkout, registry: OciRegistry, tmp_path: Path
) -> None:
    code, output = publish(checkout, registry, "chart")
    assert code == 0, output
    there = Published(registry, "chart")
    chart = there.chart(tmp_path)
    (chart / "values.yaml").write_text("{}\n", encoding="utf-8")
    there.run("helm", "package", str(chart), "--destination", str(tmp_path))
    there.run("helm", "push", str(tmp_path / "wanneng-0.1.0.tgz"), f"oci://{there.address}", "--plain-http")
    code, output = publish(checkout, registry, "chart")
    assert code == 1
    assert "has other content there, such as wanneng/values.yaml" in output


def test_a_publication_that_was_interrupted_is_finished(checkout: Checkout, registry: OciRegistry) -> None:
    there = Published(registry, "again")
    for name in ("gateway", "triton"):
        command = ["podman", "push", "--tls-verify=false", f"{checkout.prefix}-{name}:0.1.0"]
        subprocess.run(
            [*command, f"{there.address}/wanneng-{name}:0.1.0"],
            env=dict(os.environ) | registry.credentials(),
            check=True,
            capture_output=True,
        )
    code, output = publish(checkout, registry, "again")
    assert code == 0, output
    assert output.count("already published") == 2
    assert there.referrers("wanneng-triton") == [CYCLONEDX, IN_TOTO]
    assert there.digest("wanneng-triton") in there.rendered()


def test_only_what_was_built_of_a_clean_checkout_is_published(checkout: Checkout, registry: OciRegistry) -> None:
    (checkout.root / "helm/new.yaml").write_text("{}\n", encoding="utf-8")
    code, output = publish(checkout, registry, "refused")
    assert (code, "1 uncommitted changes, such as helm/new.yaml" in output) == (1, True), output
    built_at = checkout.head
    checkout.commit()
    code, output = publish(checkout, registry, "refused")
    assert code == 1
    assert f"was built from commit {built_at}" in output
    assert "make images" in output
    chart = checkout.root / "helm/wanneng/Chart.yaml"
    chart.write_text(
        chart.read_text(encoding="utf-8").replace("version: 0.1.0", "version: 0.2.0", 1), encoding="utf-8"
    )
    checkout.commit()
    code, output = publish(checkout, registry, "refused")
    assert (code, "Chart.yaml has version 0.2.0, and pyproject.toml version 0.1.0" in output) == (1, True), output


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "is no registry"),
        ("registry.example", "is no registry"),
        ("registry.example/Upper", "is no registry"),
        ("https://registry.example/path", "is no registry"),
    ],
)
def test_a_wrong_address_is_refused(checkout: Checkout, registry: OciRegistry, address: str, told: str) -> None:
    done = checkout.publish(address, environment=registry.credentials())
    assert (done.returncode, told in done.stderr) == (1, True), done.stderr


def test_what_is_missing_is_named(checkout: Checkout, registry: OciRegistry) -> None:
    done = checkout.publish(f"{registry.address}/missing", environment=registry.credentials())
    assert (
        "wanneng-triton-gpu 0.1.0 is not built; run `make images-gpu`, or publish with WITHOUT=gpu" in done.stderr
    )
    code, output = publish(checkout, registry, "missing", "--sign-key=cosign.key")
    assert (code, "cosign is not installed, and SIGN_KEY asks for signatures" in output) == (1, True), output


def test_a_wrong_password_is_no_empty_registry(checkout: Checkout, registry: OciRegistry) -> None:
    done = checkout.publish(
        f"{registry.address}/denied", "--without=gpu", environment=registry.credentials("wrong")
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pushed" not in done.stdout


def test_images_and_chart_are_signed_where_cosign_is_installed(
    checkout: Checkout, registry: OciRegistry, tmp_path: Path
) -> None:
    """The program here only writes down how it was called."""
    calls, program = tmp_path / "calls", tmp_path / "bin/cosign"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n', encoding="utf-8")
    program.chmod(0o755)
    options = ("--sign-key=cosign.key", "--sign-option=--tlog-upload=false")
    code, output = publish(checkout, registry, "signed", *options, programs=program.parent)
    assert code == 0, output
    assert "signed, because" not in output
    there = Published(registry, "signed")
    called = calls.read_text(encoding="utf-8").splitlines()
    for name in ("wanneng-gateway", "wanneng-triton", "wanneng"):
        reference = f"{there.address}/{name}@{there.digest(name)}"
        own = [line.split() for line in called if line.endswith(f" {reference}")]
        assert [line[0] for line in own] == ["sign", "attest", "attest"]
        assert all({"--yes", "--key=cosign.key", "--tlog-upload=false"} <= set(line) for line in own)
        types = [option for line in own for option in line if option.startswith("--type")]
        assert types == ["--type=slsaprovenance1", "--type=cyclonedx"]


def test_annotations_of_the_chart_are_what_artifact_hub_reads() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    annotations = chart["annotations"]
    assert all(isinstance(value, str) for value in annotations.values())
    assert all(link.keys() == {"name", "url"} for link in yaml.safe_load(annotations["artifacthub.io/links"]))
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert {change["kind"] for change in yaml.safe_load(annotations["artifacthub.io/changes"])} <= kinds
    assert annotations["artifacthub.io/license"] == "Apache-2.0"
    assert yaml.safe_load((ROOT / "helm/artifacthub-repo.yml").read_text(encoding="utf-8")) == {"ignore": []}


COSIGN = shutil.which("cosign", path=os.pathsep.join([os.environ["PATH"], str(TOOLS / "signing")]))
"""Of PATH, or as `GOBIN=~/.cache/wanneng-tools/signing go install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5`
builds it, which takes longer than all other tests here.
"""

if COSIGN is not None:

    def cosign(*arguments: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(COSIGN), *arguments],
            check=False,
            cwd=folder,
            env=dict(os.environ) | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def test_what_cosign_has_signed_is_verified_with_its_public_key(
        checkout: Checkout, registry: OciRegistry, tmp_path: Path
    ) -> None:
        """As docs/kubernetes.md verifies it; the options are those of a registry without TLS and without a log."""
        environment = dict(registry.credentials()) | {"COSIGN_PASSWORD": "password"}
        for name in ("own", "other"):
            (tmp_path / name).mkdir()
            assert cosign("generate-key-pair", environment=environment, folder=tmp_path / name).returncode == 0
        options = (f"--sign-key={tmp_path}/own/cosign.key", "--sign-option=--allow-http-registry")
        without_log = ("--sign-option=--tlog-upload=false",)
        done = checkout.publish(
            f"{registry.address}/verified",
            "--without=gpu",
            *options,
            *without_log,
            environment=environment,
            programs=Path(str(COSIGN)).parent,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        there = Published(registry, "verified")
        for name in ("wanneng-gateway", "wanneng-triton", "wanneng"):
            reference = f"{there.address}/{name}:0.1.0"
            verify = ("--allow-http-registry", "--insecure-ignore-tlog=true", reference)
            commands = [
                ("verify",),
                *(("verify-attestation", f"--type={t}") for t in ("slsaprovenance1", "cyclonedx")),
            ]
            for command in commands:
                for key, code in (("own", 0), ("other", 1)):
                    checked = cosign(
                        *command, f"--key={key}/cosign.pub", *verify, environment=environment, folder=tmp_path
                    )
                    assert (checked.returncode != 0) == bool(code), checked.stderr
                    if not code:
                        assert there.digest(name) in checked.stdout + base64_payloads(checked.stdout)

    def base64_payloads(output: str) -> str:
        """Statements of attestations, which name what they are about."""
        payloads = [json.loads(line)["payload"] for line in output.splitlines() if line.startswith('{"payload')]
        return "".join(
            base64.b64decode(payload).decode().replace('"sha256":"', '"sha256:') for payload in payloads
        )
