"""Files of texts, classified in the background: `client.batches`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from wanneng.client.transport import AsyncTransport, Request, Transport, json_object

FILES, BATCHES = "/v1/files", "/v1/batches"
FINAL = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, as it was when it was asked for."""

    id: str
    status: str
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    """Lines that were refused; None while there are none."""
    total: int
    """Lines; `completed` and `failed` are those that are done."""
    completed: int
    failed: int
    errors: tuple[str, ...]
    """Why the file cannot be a batch."""

    @property
    def done(self) -> bool:
        return self.status in FINAL


class Batches:
    """Upload lines, create a batch of them, get it until it is done, read its output."""

    def __init__(self, transport: Transport) -> None:
        self._send = transport.send

    def upload(self, lines: bytes, filename: str = "batch.jsonl") -> str:
        """JSON lines of `custom_id`, `method`, `url` and `body`; the id of their file."""
        return self._send(_upload(lines, filename))

    def create(self, file_id: str, *, idempotency_key: str | None = None) -> Batch:
        """With the same idempotency key the same batch."""
        return self._send(_create(file_id, idempotency_key))

    def get(self, batch_id: str) -> Batch:
        return self._send(_get(batch_id))

    def cancel(self, batch_id: str) -> Batch:
        """What has been answered by then is kept."""
        return self._send(_cancel(batch_id))

    def content(self, file_id: str) -> bytes:
        """JSON lines: of an output file in the order of the input's."""
        return self._send(_content(file_id))


class AsyncBatches:
    """As `Batches`, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send = transport.send

    async def upload(self, lines: bytes, filename: str = "batch.jsonl") -> str:
        return await self._send(_upload(lines, filename))

    async def create(self, file_id: str, *, idempotency_key: str | None = None) -> Batch:
        return await self._send(_create(file_id, idempotency_key))

    async def get(self, batch_id: str) -> Batch:
        return await self._send(_get(batch_id))

    async def cancel(self, batch_id: str) -> Batch:
        return await self._send(_cancel(batch_id))

    async def content(self, file_id: str) -> bytes:
        return await self._send(_content(file_id))


def _upload(lines: bytes, filename: str) -> Request[str]:
    content = {"files": {"file": (filename, lines)}, "data": {"purpose": "batch"}}
    return Request("POST", FILES, lambda response: str(json_object(response)["id"]), content)


def _create(file_id: str, idempotency_key: str | None) -> Request[Batch]:
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    body = {"input_file_id": file_id, "endpoint": "/v1/classify"}
    return Request("POST", BATCHES, _batch, {"json": body, "headers": headers}, changes=idempotency_key is None)


def _get(batch_id: str) -> Request[Batch]:
    return Request("GET", f"{BATCHES}/{quote(batch_id, safe='')}", _batch, changes=False)


def _cancel(batch_id: str) -> Request[Batch]:
    return Request("POST", f"{BATCHES}/{quote(batch_id, safe='')}/cancel", _batch)


def _content(file_id: str) -> Request[bytes]:
    path = f"{FILES}/{quote(file_id, safe='')}/content"
    return Request("GET", path, lambda response: response.content, changes=False)


def _batch(response: httpx.Response) -> Batch:
    answer: dict[str, Any] = json_object(response)
    counts = answer["request_counts"]
    errors = (answer["errors"] or {}).get("data", ())
    return Batch(
        answer["id"],
        answer["status"],
        answer["input_file_id"],
        answer["output_file_id"],
        answer["error_file_id"],
        counts["total"],
        counts["completed"],
        counts["failed"],
        tuple(str(error["message"]) for error in errors),
    )
