"""What an operator does with tenants, over the gateway's HTTP. Prints nothing."""

from __future__ import annotations

from typing import Any

from wanneng.calls import Calls
from wanneng.errors import RequestError


class Operator:
    """Tenants are named by id or by name."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(self, name: str) -> dict[str, Any]:
        return self._calls.call("POST", "/v1/tenants", {"name": name})

    def all(self) -> list[dict[str, Any]]:
        tenants: list[dict[str, Any]] = self._calls.call("GET", "/v1/tenants")["tenants"]
        return tenants

    def change(self, tenant: str, **changes: str) -> dict[str, Any]:
        return self._calls.call("PATCH", self._path(tenant), changes)

    def set_quota(self, tenant: str, quota: dict[str, int | None]) -> dict[str, Any]:
        """`requests_per_minute`, `pairs_per_minute`, `pairs_in_flight`; None: the gateway's own."""
        return self._calls.call("PUT", f"{self._path(tenant)}/quota", quota)

    def usage(self, tenant: str) -> list[dict[str, Any]]:
        """The last 30 days on which something was used."""
        days: list[dict[str, Any]] = self._calls.call("GET", f"{self._path(tenant)}/usage")["days"]
        return days

    def remove(self, tenant: str) -> None:
        self._calls.call("DELETE", self._path(tenant))

    def keys(self, tenant: str) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = self._calls.call("GET", f"{self._path(tenant)}/keys")["keys"]
        return keys

    def add_key(self, tenant: str, **wishes: Any) -> dict[str, Any]:
        """The answer's `key` is the only place where it can be read."""
        return self._calls.call("POST", f"{self._path(tenant)}/keys", wishes)

    def rotate_key(self, tenant: str, key_id: str, overlap_s: float) -> dict[str, Any]:
        return self._calls.call("POST", f"{self._path(tenant)}/keys/{key_id}/rotate", {"overlap_s": overlap_s})

    def remove_key(self, tenant: str, key_id: str) -> None:
        self._calls.call("DELETE", f"{self._path(tenant)}/keys/{key_id}")

    def _path(self, tenant: str) -> str:
        for known in self.all():
            if tenant in (known["id"], known["name"]):
                return f"/v1/tenants/{known['id']}"
        raise RequestError(f"there is no tenant {tenant!r}; `wanneng tenant list` shows them")
