"""Files of texts, classified in the background: `client.batches`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from wanneng.client.transport import AsyncTransport, Listing, Request, Transport, json_object, nothing, quoted
from wanneng.errors import RequestError

FILES, BATCHES = "/v1/files", "/v1/batches"
FINAL = frozenset({"completed", "failed", "expired", "cancelled"})
LONGEST_S = 90_000.0
"""Longer than the time limit of a batch, 24 hours."""
FIRST_POLL_S, SLOWEST_POLL_S, POLL_GROWTH = 0.5, 10.0, 1.5


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, as it was at the time of the request."""

    id: str
    status: str
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    """Lines that were refused; None while there are none."""
    total: int
    """The number of lines; `completed` and `failed` count those that are done."""
    completed: int
    failed: int
    errors: tuple[str, ...]
    """Why the file was refused as a batch."""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one line."""

    custom_id: str | None
    """None if the line could not be read."""
    answer: Mapping[str, Any]
    """As `/v1/classify` answers; empty where the line was refused."""
    error: str | None
    line: int | None
    """The line's number, from 1, if it was refused before it was sent."""


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file, or the results of a batch."""

    id: str
    name: str
    size_bytes: int


class Batches:
    """Upload lines, create a batch of them, wait until it is done, read its results."""

    def __init__(self, transport: Transport) -> None:
        self._send, self._each, self._sleep = transport.send, transport.each, transport.sleep

    def upload(self, lines: bytes, filename: str = "batch.jsonl") -> str:
        """JSON lines of `custom_id`, `method`, `url` and `body`; the id of their file."""
        return self._send(_upload(lines, filename))

    def create(
        self, file_id: str, *, idempotency_key: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Batch:
        """The same idempotency key returns the same batch."""
        return self._send(_create(file_id, idempotency_key, metadata))

    def list(self) -> Sequence[Batch]:
        """Newest first."""
        return [*self._each(_ALL)]

    def get(self, batch_id: str) -> Batch:
        return self._send(_get(batch_id))

    def cancel(self, batch_id: str) -> Batch:
        """Results so far are kept."""
        return self._send(_cancel(batch_id))

    def wait(
        self, batch_id: str, *, timeout_s: float = LONGEST_S, progress: Callable[[Batch], None] | None = None
    ) -> Batch:
        """Wait until the batch is done, and call `progress` after each poll; `RequestError` after `timeout_s`."""
        polls = _polls(batch_id, timeout_s)
        while True:
            batch = self.get(batch_id)
            if progress is not None:
                progress(batch)
            if batch.done:
                return batch
            self._sleep(next(polls))

    def results(self, batch: Batch) -> Iterator[BatchResult]:
        """The results of all lines that are done; answered lines come first, in the order of the input."""
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                yield from _results(self.content(file_id))

    def files(self) -> Sequence[File]:
        """Uploads and results, newest first."""
        return [*self._each(_ALL_FILES)]

    def file(self, file_id: str) -> File:
        return self._send(_file(file_id))

    def content(self, file_id: str) -> bytes:
        """JSON lines; those of an output file are in the order of the input."""
        return self._send(_content(file_id))

    def delete_file(self, file_id: str) -> None:
        self._send(_delete_file(file_id))


class AsyncBatches:
    """As `Batches`, to be awaited."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send, self._each, self._sleep = transport.send, transport.each, transport.sleep

    async def upload(self, lines: bytes, filename: str = "batch.jsonl") -> str:
        return await self._send(_upload(lines, filename))

    async def create(
        self, file_id: str, *, idempotency_key: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Batch:
        return await self._send(_create(file_id, idempotency_key, metadata))

    async def list(self) -> Sequence[Batch]:
        return [batch async for batch in self._each(_ALL)]

    async def get(self, batch_id: str) -> Batch:
        return await self._send(_get(batch_id))

    async def cancel(self, batch_id: str) -> Batch:
        return await self._send(_cancel(batch_id))

    async def wait(
        self, batch_id: str, *, timeout_s: float = LONGEST_S, progress: Callable[[Batch], None] | None = None
    ) -> Batch:
        polls = _polls(batch_id, timeout_s)
        while True:
            batch = await self.get(batch_id)
            if progress is not None:
                progress(batch)
            if batch.done:
                return batch
            await self._sleep(next(polls))

    async def results(self, batch: Batch) -> AsyncIterator[BatchResult]:
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                for result in _results(await self.content(file_id)):
                    yield result

    async def files(self) -> Sequence[File]:
        return [file async for file in self._each(_ALL_FILES)]

    async def file(self, file_id: str) -> File:
        return await self._send(_file(file_id))

    async def content(self, file_id: str) -> bytes:
        return await self._send(_content(file_id))

    async def delete_file(self, file_id: str) -> None:
        await self._send(_delete_file(file_id))


def _upload(lines: bytes, filename: str) -> Request[str]:
    content = {"files": {"file": (filename, lines)}, "data": {"purpose": "batch"}}
    return Request("POST", FILES, lambda response: str(json_object(response)["id"]), content)


def _create(file_id: str, idempotency_key: str | None, metadata: Mapping[str, str] | None) -> Request[Batch]:
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    body: dict[str, Any] = {"input_file_id": file_id, "endpoint": "/v1/classify"}
    if metadata is not None:
        body["metadata"] = dict(metadata)
    return Request("POST", BATCHES, _parsed, {"json": body, "headers": headers}, changes=idempotency_key is None)


def _get(batch_id: str) -> Request[Batch]:
    return Request("GET", f"{BATCHES}/{quoted(batch_id)}", _parsed, changes=False)


def _cancel(batch_id: str) -> Request[Batch]:
    return Request("POST", f"{BATCHES}/{quoted(batch_id)}/cancel", _parsed)


def _content(file_id: str) -> Request[bytes]:
    return Request("GET", f"{_path(file_id)}/content", lambda response: response.content, changes=False)


def _file(file_id: str) -> Request[File]:
    return Request("GET", _path(file_id), lambda response: _file_of(json_object(response)), changes=False)


def _delete_file(file_id: str) -> Request[None]:
    return Request("DELETE", _path(file_id), nothing)


def _path(file_id: str) -> str:
    return f"{FILES}/{quoted(file_id)}"


def _polls(batch_id: str, timeout_s: float) -> Iterator[float]:
    """The pauses between polls of a batch; `RequestError` after `timeout_s` in total."""
    waited_s, poll_s = 0.0, FIRST_POLL_S
    while waited_s < timeout_s:
        yield min(poll_s, timeout_s - waited_s)
        waited_s, poll_s = waited_s + poll_s, min(poll_s * POLL_GROWTH, SLOWEST_POLL_S)
    raise RequestError(
        f"{batch_id} is not done after {timeout_s:g} s; it is still running, and you can wait for it again"
    )


def _results(content: bytes) -> Iterator[BatchResult]:
    for line in content.split(b"\n"):
        if line:
            yield _result(json.loads(line))


def _result(line: dict[str, Any]) -> BatchResult:
    if line["response"] is None:
        error = line["error"]
        return BatchResult(line["custom_id"], {}, str(error["message"]), error.get("line"))
    body, refused = line["response"]["body"], line["response"]["status_code"] >= httpx.codes.BAD_REQUEST
    if refused:
        return BatchResult(line["custom_id"], {}, str(body.get("detail", "refused")), None)
    return BatchResult(line["custom_id"], body, None, None)


def _parsed(response: httpx.Response) -> Batch:
    return _batch(json_object(response))


def _batch(item: dict[str, Any]) -> Batch:
    counts = item["request_counts"]
    errors = (item["errors"] or {}).get("data", ())
    return Batch(
        item["id"],
        item["status"],
        item["input_file_id"],
        item["output_file_id"],
        item["error_file_id"],
        counts["total"],
        counts["completed"],
        counts["failed"],
        tuple(str(error["message"]) for error in errors),
        item.get("metadata") or {},
    )


def _file_of(item: dict[str, Any]) -> File:
    return File(item["id"], item["filename"], item["bytes"])


_ALL, _ALL_FILES = Listing(BATCHES, "data", _batch), Listing(FILES, "data", _file_of)
