"""Requests to a gateway, each sent once."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 60.0
TEXT, LABELS = "这个手机质量太差，要求退款", "投诉,咨询,建议"
"""The best label is the first."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """Parsed JSON, or the text of anything else."""


@dataclass(frozen=True, slots=True)
class Api:
    """The API at `address`, which is `host` or `host:port`."""

    address: str

    def request(
        self,
        method: str,
        path: str,
        key: str = "",
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """`body` is sent as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        with closing(http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)) as connection:
            connection.request(method, path, data, given | dict(headers or {}))
            response = connection.getresponse()
            content = response.read()
        names = {name.lower(): value for name, value in response.getheaders()}
        is_json = names.get("content-type", "").partition(";")[0] in (
            "application/json",
            "application/problem+json",
        )
        return Response(response.status, names, json.loads(content) if is_json and content else content.decode())

    def call(self, method: str, path: str, key: str, body: Any = None, **options: Any) -> Any:
        """The body of a successful response."""
        response = self.request(method, path, key, body, **options)
        assert response.status < http.client.MULTIPLE_CHOICES, response
        return response.body

    def classify(self, key: str, **fields: object) -> dict[str, Any]:
        """A classification that no cache answers."""
        body = {"text": TEXT, "labels": LABELS} | fields
        if "label_set" in fields:
            del body["labels"]
        answer: dict[str, Any] = self.call(
            "POST", "/v1/classify", key, body, headers={"Cache-Control": "no-cache"}
        )
        return answer

    def create_tenant(self, admin_key: str, name: str) -> tuple[str, str]:
        """Its id and an API key."""
        tenant_id = self.call("POST", "/v1/tenants", admin_key, {"name": name})["id"]
        return tenant_id, self.call("POST", f"/v1/tenants/{tenant_id}/keys", admin_key, {})["key"]

    def start_batch(self, key: str, texts: Sequence[str]) -> str:
        """The id of a batch with one classification per text."""
        lines = (
            {
                "custom_id": str(number),
                "method": "POST",
                "url": "/v1/classify",
                "body": {"text": text, "labels": LABELS},
            }
            for number, text in enumerate(texts)
        )
        content = "".join(json.dumps(line) + "\n" for line in lines)
        boundary = "end-of-part"
        form = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="lines.jsonl"\r\n\r\n'
            f"{content}\r\n--{boundary}--\r\n"
        ).encode()
        content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        file_id = self.call("POST", "/v1/files", key, form, headers=content_type)["id"]
        batch = {"input_file_id": file_id, "endpoint": "/v1/classify", "completion_window": "24h"}
        return str(self.call("POST", "/v1/batches", key, batch)["id"])

    def completed_batch(self, key: str, batch_id: str) -> dict[str, Any] | None:
        """The batch, once it is completed."""
        batch: dict[str, Any] = self.call("GET", f"/v1/batches/{batch_id}", key)
        return batch if batch["status"] == "completed" else None
