"""Makes the tenants of a load test with the operator's key, and removes them; without it everyone is local."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from loadtest.doors import LABEL_SET, LABEL_SET_LABELS
from loadtest.errors import LoadError

TIMEOUT_S = 30.0
logging.getLogger("httpx").setLevel(logging.WARNING)


class Tenants:
    """`keys`: by the workload's names; empty where no key is asked for."""

    def __init__(self, url: str, admin_key: str | None, names: Sequence[str]) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)
        self._admin = admin_key
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
        """With all that is theirs."""
        for tenant_id in self._ids:
            self._call("DELETE", f"/v1/tenants/{tenant_id}", self._admin)
        if not self._ids:
            self._call("DELETE", f"/v1/label-sets/{LABEL_SET}", None)
        self._client.close()

    def _call(
        self, method: str, path: str, key: str | None, body: Any = None, *, may_exist: bool = False
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            answer = self._client.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise LoadError(f"nobody answers at {self._client.base_url}: {error!r}") from None
        if answer.is_error and not (may_exist and answer.status_code == httpx.codes.PRECONDITION_FAILED):
            raise LoadError(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found
