"""compose.yaml with a real compose: Triton, gateway and worker on one server, from the images."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings
from tests.cluster.kubernetes import LONG_S, Kubernetes, eventually
from tests.e2e.server import free_ports
from tests.helm.tools import ROOT

FILE = ROOT / "helm/docker/compose.yaml"
COMPOSE = Path(sys.executable).with_name("podman-compose")
LIMITS = 'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]'
"""Lower than podman's own, which this machine may not allow."""


@pytest.fixture(scope="module")
def environment(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if kubernetes.own is None:
        pytest.skip("podman's settings come with this machine's cluster")
    path = tmp_path_factory.mktemp("podman") / "containers.conf"
    # Containers on a network of their own, as everywhere but in builds here.
    settings = Path(kubernetes.environment["CONTAINERS_CONF"]).read_text(encoding="utf-8")
    own = settings.replace('netns = "host"', "").replace("[containers]", f"[containers]\n{LIMITS}")
    path.write_text(own, encoding="utf-8")
    return dict(kubernetes.environment) | {
        "CONTAINERS_CONF": str(path),
        "COMPOSE_PROJECT_NAME": f"wn{secrets.token_hex(4)}",
        "WANNENG_PORT": str(free_ports(1)[0]),
        "WANNENG_ADMIN_KEY": secrets.token_hex(32),
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


def call(environment: dict[str, str], method: str, path: str, key: str, body: Any = None) -> Any:
    with closing(http.client.HTTPConnection("127.0.0.1", int(environment["WANNENG_PORT"]), timeout=30)) as client:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        client.request(method, path, None if body is None else json.dumps(body), headers)
        answer = client.getresponse()
        return answer.status, json.loads(answer.read() or b"null")


def test_one_command_serves_tenants_on_one_server(running: dict[str, str]) -> None:
    def ready() -> bool:
        try:
            return bool(call(running, "GET", "/readyz", "")[0] == http.client.OK)
        except (OSError, http.client.HTTPException):
            return False

    eventually("the gateway has had a real answer", ready)
    admin = running["WANNENG_ADMIN_KEY"]
    asked = {"text": "这个手机质量太差，要求退款", "labels": "投诉,咨询"}
    assert call(running, "POST", "/v1/classify", "", asked)[0] == http.client.UNAUTHORIZED
    _, tenant = call(running, "POST", "/v1/tenants", admin, {"name": "acme"})
    _, key = call(running, "POST", f"/v1/tenants/{tenant['id']}/keys", admin, {})
    status, answer = call(running, "POST", "/v1/classify", key["key"], asked)
    assert (status, answer["labels"][0]) == (http.client.OK, "投诉")


def test_the_images_say_what_they_are(environment: dict[str, str]) -> None:
    for name in ("gateway", "triton"):
        said = subprocess.run(
            ["podman", "inspect", f"localhost/wanneng-{name}:0.1.0"],
            check=True,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        (image,) = json.loads(said)
        assert image["User"] == "65532:65532"
        assert image["Labels"]["org.opencontainers.image.version"] == "0.1.0"
        assert re.fullmatch(r"[0-9a-f]{40}", image["Labels"]["org.opencontainers.image.revision"])
        assert image["Config"].get("Healthcheck", image.get("Healthcheck"))["Test"][0] == "CMD"


def test_a_bill_of_materials_is_in_each_image(running: dict[str, str]) -> None:
    """Every locked package is in it, at its version."""
    for service, lock in (("gateway", "gateway.txt"), ("triton", "triton.txt")):
        said = subprocess.run(
            ["podman", "exec", f"{running['COMPOSE_PROJECT_NAME']}_{service}_1", "cat", "/opt/venv/sbom.cdx.json"],
            check=True,
            env=running,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        found = {same(one["name"]): one["version"] for one in json.loads(said)["components"]}
        text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
        locked = re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", text, re.MULTILINE)
        assert len(locked) > 15
        for name, version in locked:
            assert found.get(same(name)) == version, name


def same(name: str) -> str:
    """A package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_setting_that_compose_gives_is_one_that_is_known() -> None:
    known = {f"WANNENG_{name.upper()}" for name in Settings.__slots__}
    own = {"IMAGES", "VERSION", "ENGINES", "ENGINE", "MODEL_CONFIG_NAME", "ADDRESS", "PORT", "ADMIN_KEY"}
    for name in set(re.findall(r"WANNENG_[A-Z_]+", FILE.read_text(encoding="utf-8"))):
        assert name in known or name.removeprefix("WANNENG_") in own, name
