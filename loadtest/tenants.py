"""Creates the tenants, keys and label sets of a load test; without the admin key, the tenant is `local`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from loadtest.endpoints import LABEL_SET, LABEL_SET_LABELS
from loadtest.errors import LoadTestError

TIMEOUT_S = 30.0
logging.getLogger("httpx").setLevel(logging.WARNING)


class Tenants:
    """`keys` maps the workload's tenants to their keys; empty if no admin key was given."""

    def __init__(self, url: str, admin_key: str | None, names: Sequence[str]) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)
        self._admin_key = admin_key
        self._ids: list[str] = []
        self.keys: Mapping[str, str] = {}
        keys: dict[str, str] = {}
        if admin_key is not None:
            for name in names:
                tenant = self._call(
                    "POST", "/v1/tenants", admin_key, {"name": f"load-{name}-{uuid.uuid4().hex[:8]}"}
                )
                self._ids.append(tenant["id"])
                keys[name] = self._call("POST", f"/v1/tenants/{tenant['id']}/keys", admin_key, {})["key"]
            self.keys = keys
        for key in keys.values() or (None,):
            self._call(
                "PUT", f"/v1/label-sets/{LABEL_SET}", key, {"labels": list(LABEL_SET_LABELS)}, may_exist=True
            )

    def remove(self) -> None:
        """Delete the tenants with everything they own."""
        for tenant_id in self._ids:
            self._call("DELETE", f"/v1/tenants/{tenant_id}", self._admin_key)
        if not self._ids:
            self._call("DELETE", f"/v1/label-sets/{LABEL_SET}", None)
        self._client.close()

    def _call(
        self, method: str, path: str, key: str | None, body: Any = None, *, may_exist: bool = False
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._client.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise LoadTestError(
                f"cannot reach {self._client.base_url}: {error!r}; is the server running?"
            ) from None
        if response.is_error and not (may_exist and response.status_code == httpx.codes.PRECONDITION_FAILED):
            raise LoadTestError(f"{method} {path} answered {response.status_code}: {response.text[:300]}")
        content: dict[str, Any] = response.json() if response.content else {}
        return content
