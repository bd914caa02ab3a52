"""Batches: what a tenant may do with its own; another tenant's do not exist."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from stores.batches import VALIDATING, Batch, BatchBounds, BatchStore
from stores.clock import Clock
from stores.errors import InvalidRequest, NotFound
from stores.files import BATCH_PURPOSE, FileStore
from stores.paging import Page, PageRequest

ENDPOINT = "/v1/classify"
WINDOW, WINDOW_S = "24h", 86_400
"""How long a batch may take."""
MAX_UNFINISHED = 100
"""Batches of one tenant that wait or run."""
MAX_BATCHES = 5_000
"""Batches of one tenant, those that are done included."""
MAX_METADATA, MAX_METADATA_CHARACTERS, MAX_METADATA_BYTES = 16, 512, 20_000
MAX_IDEMPOTENCY_KEY_CHARACTERS = 200


class Batches:
    def __init__(self, batches: BatchStore, files: FileStore, clock: Clock) -> None:
        self._batches = batches
        self._files = files
        self._clock = clock

    async def create(
        self,
        tenant_id: str,
        input_file_id: str,
        endpoint: str,
        window: str,
        metadata: Mapping[str, str],
        idempotency_key: str,
        output_expires_after_s: int | None = None,
        key_id: str = "",
    ) -> Batch:
        """A batch of the lines of a file, for which the budget of `key_id` pays too.

        The same `idempotency_key` again (unless `""`): the same batch again."""
        _validate(endpoint, window, metadata, idempotency_key)
        file = await self._files.get(tenant_id, input_file_id)
        now = self._clock.now()
        if file is None or file.has_expired(now) or file.purpose != BATCH_PURPOSE:
            raise InvalidRequest(f"no such file of the purpose {BATCH_PURPOSE!r}", field="input_file_id")
        batch = Batch(
            f"batch_{secrets.token_hex(12)}",
            tenant_id,
            input_file_id,
            VALIDATING,
            now,
            now + timedelta(seconds=WINDOW_S),
            dict(metadata),
            output_expires_after_s=output_expires_after_s,
            key_id=key_id,
        )
        request = repr((input_file_id, endpoint, window, sorted(metadata.items()), output_expires_after_s))
        digest = hashlib.sha256(request.encode()).hexdigest()
        return await self._batches.add(
            batch, idempotency_key or None, digest, BatchBounds(MAX_UNFINISHED, MAX_BATCHES)
        )

    async def get(self, tenant_id: str, batch_id: str) -> Batch:
        batch = await self._batches.get(tenant_id, batch_id)
        if batch is None:
            raise NotFound("no such batch")
        return batch

    async def page(self, tenant_id: str, request: PageRequest) -> Page[Batch]:
        return await self._batches.page(tenant_id, request)

    async def cancel(self, tenant_id: str, batch_id: str) -> Batch:
        """The results so far will be in its files."""
        await self.get(tenant_id, batch_id)
        await self._batches.cancel(tenant_id, batch_id, self._clock.now())
        return await self.get(tenant_id, batch_id)


def _validate(endpoint: str, window: str, metadata: Mapping[str, str], idempotency_key: str) -> None:
    if endpoint != ENDPOINT:
        raise InvalidRequest(f"must be {ENDPOINT}", field="endpoint")
    if window != WINDOW:
        raise InvalidRequest(f"must be {WINDOW}", field="completion_window")
    sizes = [len(text) for entry in metadata.items() for text in entry]
    if len(metadata) > MAX_METADATA or max(sizes, default=0) > MAX_METADATA_CHARACTERS:
        raise InvalidRequest(
            f"must have at most {MAX_METADATA} entries of {MAX_METADATA_CHARACTERS} characters", field="metadata"
        )
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise InvalidRequest(f"must have at most {MAX_METADATA_BYTES} bytes as JSON", field="metadata")
    if len(idempotency_key) > MAX_IDEMPOTENCY_KEY_CHARACTERS or not idempotency_key.isprintable():
        raise InvalidRequest(
            f"must have at most {MAX_IDEMPOTENCY_KEY_CHARACTERS} printable characters", field="Idempotency-Key"
        )
