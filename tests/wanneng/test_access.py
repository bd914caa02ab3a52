from __future__ import annotations

import json
from pathlib import Path

import httpx

from wanneng.calls import Calls
from wanneng.serve import access


class FakeGateway:
    """Tenants and keys as the gateway answers; nothing else."""

    def __init__(self, *tenants: str) -> None:
        self.tenants = list(tenants)
        self.keys: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer operator"
        if request.url.path == "/v1/tenants" and request.method == "GET":
            return httpx.Response(200, json={"tenants": [{"id": name, "name": name} for name in self.tenants]})
        if request.url.path == "/v1/tenants":
            self.tenants.append(json.loads(request.content)["name"])
            return httpx.Response(201, json={"id": self.tenants[-1]})
        assert request.url.path == "/v1/tenants/local/keys"
        if request.method == "GET":
            return httpx.Response(200, json={"keys": [{"id": key} for key in self.keys]})
        self.keys.append(f"id{len(self.keys)}")
        return httpx.Response(201, json={"id": self.keys[-1], "key": f"wn_{self.keys[-1]}_secret"})


def local_key(gateway: FakeGateway, state: Path) -> str:
    calls = Calls("http://gateway", "operator", transport=httpx.MockTransport(gateway))
    return access.local_key(calls, state)


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    gateway = FakeGateway("local")
    first = local_key(gateway, tmp_path)
    assert local_key(gateway, tmp_path) == first
    assert (tmp_path / access.LOCAL_KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_key_that_the_gateway_does_not_know_is_replaced(tmp_path: Path) -> None:
    """The database was deleted, or is another one."""
    first = local_key(FakeGateway("local"), tmp_path)
    other = FakeGateway("local")
    other.keys = ["another"]
    second = local_key(other, tmp_path)
    assert second != first
    assert second.split("_")[1] in other.keys


def test_the_tenant_is_made_where_there_is_none(tmp_path: Path) -> None:
    """A PostgreSQL that nobody served on loopback before."""
    gateway = FakeGateway()
    local_key(gateway, tmp_path)
    assert gateway.tenants == ["local"]


def test_the_operators_key_is_made_once(tmp_path: Path) -> None:
    first = access.admin_key(tmp_path / "state")
    assert access.admin_key(tmp_path / "state") == first
    assert len(first) == 64
