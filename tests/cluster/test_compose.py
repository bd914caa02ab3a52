"""compose.yaml with a real compose: Triton, both planes and the worker on a single server, from the images."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api import Api
from tests.cluster.kubernetes import LONG_S, Kubernetes, eventually
from tests.e2e.server import free_ports
from tests.helm.tools import ROOT

FILE = ROOT / "helm/docker/compose.yaml"
COMPOSE = Path(sys.executable).with_name("podman-compose")
LIMITS = 'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]'
"""Lower than Podman's defaults, which this machine may not allow."""


@pytest.fixture(scope="module")
def environment(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if kubernetes.own is None:
        pytest.skip("the settings of Podman come with a cluster on this machine")
    path = tmp_path_factory.mktemp("podman") / "containers.conf"
    # Containers on a network of their own. Only image builds need the host's network here.
    settings = Path(kubernetes.environment["CONTAINERS_CONF"]).read_text(encoding="utf-8")
    own = settings.replace('netns = "host"', "").replace("[containers]", f"[containers]\n{LIMITS}")
    path.write_text(own, encoding="utf-8")
    return dict(kubernetes.environment) | {
        "CONTAINERS_CONF": str(path),
        "COMPOSE_PROJECT_NAME": f"wn{secrets.token_hex(4)}",
        "WANNENG_PORT": str(free_ports(1)[0]),
        "WANNENG_ADMIN_KEY": secrets.token_hex(32),
        "WANNENG_INTERNAL_KEY": secrets.token_hex(32),
    }


@pytest.fixture(scope="module")
def running(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    compose(environment, "up", "--detach")
    try:
        yield environment
    finally:
        compose(environment, "down", "--volumes", "--timeout", "3")


def compose(environment: dict[str, str], *arguments: str) -> None:
    command = [str(COMPOSE), "--file", str(FILE), "--project-name", environment["COMPOSE_PROJECT_NAME"]]
    done = subprocess.run(
        [*command, "--profile", "cpu", *arguments],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def api(running: dict[str, str]) -> Api:
    gateway = Api(f"127.0.0.1:{running['WANNENG_PORT']}")

    def is_ready() -> bool:
        try:
            return gateway.request("GET", "/readyz").status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    eventually("the gateway is ready", is_ready)
    return gateway


@pytest.fixture(scope="module")
def key(api: Api, running: dict[str, str]) -> str:
    """An API key of a tenant, created through the gateway."""
    eventually("the control plane is ready", lambda: api.request("GET", "/").status == http.client.OK)
    return api.create_tenant(running["WANNENG_ADMIN_KEY"], "acme")[1]


def test_one_command_serves_tenants_on_a_single_server(api: Api, key: str) -> None:
    assert api.request("POST", "/v1/classify", "", {}).status == http.client.UNAUTHORIZED
    assert api.classify(key)["labels"][0] == "投诉"


def test_the_worker_processes_a_batch(api: Api, key: str) -> None:
    batch_id = api.start_batch(key, ["要求退款", "几点开门"])
    batch = eventually("the batch is completed", lambda: api.completed_batch(key, batch_id))
    assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}


def test_the_images_have_labels_a_user_and_a_health_check(environment: dict[str, str]) -> None:
    for name in ("gateway", "triton"):
        output = subprocess.run(
            ["podman", "inspect", f"localhost/wanneng-{name}:0.1.0"],
            check=True,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        (image,) = json.loads(output)
        assert image["User"] == "65532:65532"
        assert image["Labels"]["org.opencontainers.image.version"] == "0.1.0"
        assert re.fullmatch(r"[0-9a-f]{40}", image["Labels"]["org.opencontainers.image.revision"])
        assert image["Config"].get("Healthcheck", image.get("Healthcheck"))["Test"][0] == "CMD"


def test_a_bill_of_materials_is_in_each_image(running: dict[str, str]) -> None:
    """With every locked package and its version."""
    for service, lock in (("gateway", "gateway.txt"), ("triton", "triton.txt")):
        output = subprocess.run(
            ["podman", "exec", f"{running['COMPOSE_PROJECT_NAME']}_{service}_1", "cat", "/opt/venv/sbom.cdx.json"],
            check=True,
            env=running,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        versions = {normalized(part["name"]): part["version"] for part in json.loads(output)["components"]}
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        locked = re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", text, re.MULTILINE)
        assert len(locked) > 15
        for name, version in locked:
            assert versions.get(normalized(name)) == version, name


def normalized(name: str) -> str:
    """The package name as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
