"""Creates the tenants, keys and label sets of a load test; without the admin key, the tenant is `local`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
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
        self._names = names if admin_key is not None else ()
        self._created: list[tuple[str, str | None]] = []
        """Path of each thing, and the key that deletes it."""
        self.keys: dict[str, str] = {}

    def create(self) -> None:
        """`LoadTestError` if something cannot be created; what was created before is there to be removed."""
        for name in self._names:
            body = {"name": f"load-{name}-{uuid.uuid4().hex[:8]}"}
            path = f"/v1/tenants/{self._call('POST', '/v1/tenants', self._admin_key, body)['id']}"
            self._created.append((path, self._admin_key))
            self.keys[name] = self._call("POST", f"{path}/keys", self._admin_key, {})["key"]
        path = f"/v1/label-sets/{LABEL_SET}"
        for key in self.keys.values() or (None,):
            self._call("PUT", path, key, {"labels": list(LABEL_SET_LABELS)}, may_exist=True)
        if not self.keys:
            self._created.append((path, None))

    def remove(self) -> None:
        """Delete the tenants with everything they own."""
        for path, key in self._created:
            self._call("DELETE", path, key)
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
