"""compose.yaml and the Dockerfiles, without building anything."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml
from msgspec import Struct

from control_plane.settings import Settings as ControlPlaneSettings
from control_plane.settings import WorkerSettings
from gateway.settings import Settings as GatewaySettings
from tests.helm.tools import ROOT, variables

DOCKER = ROOT / "helm/docker"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))[
    "services"
]
PLANES = ("gateway", "control-plane", "worker")


def copied(dockerfile: str) -> set[str]:
    """What the Dockerfile copies from the repository, with the defaults of its arguments."""
    text = (DOCKER / dockerfile).read_text(encoding="utf-8")
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    return {
        Template(path).substitute(defaults)
        for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE)
        for path in line.split()
    }


def test_every_variable_in_compose_yaml_is_a_setting_of_its_process() -> None:
    settings: dict[str, type[Struct]] = {
        "gateway": GatewaySettings,
        "control-plane": ControlPlaneSettings,
        "worker": WorkerSettings,
    }
    for service, kind in settings.items():
        assert SERVICES[service]["environment"].keys() <= variables(kind), service


def test_both_planes_and_the_worker_share_one_image_and_one_database() -> None:
    assert [SERVICES[service]["command"] for service in PLANES] == [
        ["gateway"],
        ["control_plane", "serve"],
        ["control_plane", "worker"],
    ]
    for name in ("image", "volumes"):
        assert len({str(SERVICES[service][name]) for service in PLANES}) == 1
    assert len({SERVICES[service]["environment"]["WANNENG_DATABASE_URL"] for service in PLANES}) == 1


def test_only_the_gateway_is_published_and_only_the_control_plane_has_the_admin_key() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    holders = [name for name in PLANES if "WANNENG_ADMIN_KEY" in SERVICES[name]["environment"]]
    assert holders == ["control-plane"]
    keys = {
        SERVICES[name]["environment"].get("WANNENG_INTERNAL_KEY")
        for name in ("gateway", "control-plane", "worker")
    }
    assert len(keys) == 1
    assert None not in keys


def test_the_gateway_image_has_the_packages_that_the_planes_import() -> None:
    packages = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    imported = {"gateway", "control_plane"}
    for package in ("gateway", "control_plane", "logs", "stores", "web"):
        for module in (ROOT / package).rglob("*.py"):
            text = module.read_text(encoding="utf-8")
            imported |= set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)) & packages
    assert copied("gateway.Dockerfile") & packages == imported


@pytest.mark.parametrize("dockerfile", sorted(path.name for path in DOCKER.glob("*.Dockerfile")))
def test_everything_that_an_image_copies_is_in_the_build_context(dockerfile: str) -> None:
    allowed = {line[1:].rstrip("/") for line in lines(ROOT / ".dockerignore") if line.startswith("!")}
    for path in copied(dockerfile):
        assert Path(path).parts[0] in allowed, path
        assert (ROOT / path).exists(), path


def test_containers_have_dockers_options_of_a_tmpfs_also_with_podman() -> None:
    for name, service in SERVICES.items():
        assert service["tmpfs"] == ["/tmp:noexec,nosuid,nodev"], name


@pytest.mark.parametrize("name", ["compose.yaml", "gateway.Dockerfile"])
def test_health_checks_pass_by_a_proxy_of_the_containers_environment(name: str) -> None:
    """Docker gives its own proxy's variables to each container."""
    asked = [line for line in lines(DOCKER / name) if "urllib" in line]
    assert asked
    assert all("ProxyHandler({})" in line for line in asked)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
