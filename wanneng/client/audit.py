"""Administrative acts: `client.audit`, and the verification of their chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypedDict, Unpack

import httpx

from wanneng.client.transport import AsyncTransport, Listing, Request, Transport
from wanneng.errors import AuditLogAltered

OWN, ALL = "/v1/audit", "/v1/admin/audit"
FIRST_HASH = "0" * 64
"""In place of the hash before the first record."""
PRUNED = "audit.prune"
"""The act that removes the oldest records; it has the hash of the newest of them."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to what, and when."""

    sequence: int
    at: datetime
    actor: str
    """`admin:…`, `key:…`, `local` or `command:…`."""
    verb: str
    object: str
    tenant_id: str | None
    request_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    previous: str
    hash: str


class Filters(TypedDict, total=False):
    """Which acts; by default all."""

    actor: str | None
    object: str | None
    since: datetime | None
    until: datetime | None


class Audit:
    """The acts of the whole deployment need the admin key, `own` a key with the scope `audit:read`."""

    def __init__(self, transport: Transport) -> None:
        self._send, self._each = transport.send, transport.each

    def own(self, **filters: Unpack[Filters]) -> Iterator[AuditRecord]:
        """Acts on what is the tenant's own, newest first; pages are requested as they are needed."""
        return self._each(_listing(OWN, filters))

    def list(self, tenant_id: str | None = None, **filters: Unpack[Filters]) -> Iterator[AuditRecord]:
        """Newest first; pages are requested as they are needed."""
        return self._each(_listing(ALL, filters, tenant_id))

    def export(self, tenant_id: str | None = None, *, after: int = 0, **filters: Unpack[Filters]) -> Iterator[str]:
        """Lines of JSON, oldest first, behind the record `after`."""
        while lines := self._send(_export(filters, tenant_id, after)):
            yield from lines
            after = _sequence(lines[-1])


class AsyncAudit:
    """As `Audit`, to be iterated over with `async for`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._send, self._each = transport.send, transport.each

    def own(self, **filters: Unpack[Filters]) -> AsyncIterator[AuditRecord]:
        return self._each(_listing(OWN, filters))

    def list(self, tenant_id: str | None = None, **filters: Unpack[Filters]) -> AsyncIterator[AuditRecord]:
        return self._each(_listing(ALL, filters, tenant_id))

    async def export(
        self, tenant_id: str | None = None, *, after: int = 0, **filters: Unpack[Filters]
    ) -> AsyncIterator[str]:
        while lines := await self._send(_export(filters, tenant_id, after)):
            for line in lines:
                yield line
            after = _sequence(lines[-1])


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """Records that nobody has changed, removed or inserted. Compare `hash` with one that was noted elsewhere."""

    records: int
    first: int
    last: int
    hash: str
    """Of the last record; empty where there is none."""


def verify_chain(lines: Iterable[str], expected_hash: str | None = None) -> VerifiedChain:
    """`AuditLogAltered` names the first record of an export that is not as it was written.

    The first one must follow nothing, or what a later act says was removed before it. One of them must have
    `expected_hash`, if it is given: nobody can tell otherwise whether the last ones were removed.
    """
    records, first, last, expected, start = 0, 0, 0, "", ""
    pruned, expected_seen = False, expected_hash is None
    for line in lines:
        record = _decoded(line, last + 1)
        sequence = record["sequence"]
        if not records:
            first, pruned = sequence, sequence == 1
            start = expected = FIRST_HASH if pruned else record["previous"]
        elif sequence > last + 1:
            raise AuditLogAltered(last + 1, f"it is missing: record {sequence} comes after record {last}")
        elif sequence <= last:
            raise AuditLogAltered(sequence, f"it comes after record {last}")
        if record["previous"] != expected:
            raise AuditLogAltered(sequence, "it does not follow the record before it")
        if _hash_of(record) != record["hash"]:
            raise AuditLogAltered(sequence, "its content is not what its hash was made of")
        if record["verb"] == PRUNED and record["after"] == {"through": first - 1, "hash": start}:
            pruned = True
        expected_seen = expected_seen or record["hash"] == expected_hash
        records, last, expected = records + 1, sequence, record["hash"]
    if records and not pruned:
        raise AuditLogAltered(first - 1, "it is missing, and no act says that it was removed")
    if not expected_seen:
        raise AuditLogAltered(last + 1, f"no record has the hash {expected_hash}, so the last ones were removed")
    return VerifiedChain(records, first, last, expected)


def _decoded(line: str, expected: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
        missing = {field.name for field in fields(AuditRecord)} - record.keys()
        if missing or type(record["sequence"]) is not int or _canonical(record) != line.removesuffix("\n"):
            raise ValueError
    except (ValueError, AttributeError, RecursionError):
        raise AuditLogAltered(expected, "its line is not a record in canonical JSON") from None
    return dict(record)


def _hash_of(record: Mapping[str, Any]) -> str:
    content = _canonical({name: value for name, value in record.items() if name != "hash"})
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(record: Mapping[str, Any]) -> str:
    """JSON as RFC 8785 has it, of what a record may have: integers, texts, and names in ASCII."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sequence(line: str) -> int:
    return int(json.loads(line)["sequence"])


def _listing(path: str, filters: Filters, tenant_id: str | None = None) -> Listing[AuditRecord]:
    return Listing(path, "records", _record, _params(filters, tenant_id))


def _export(filters: Filters, tenant_id: str | None, after: int) -> Request[Sequence[str]]:
    params = _params(filters, tenant_id) | {"after": str(after)}
    return Request("GET", f"{ALL}/export", _lines, {"params": params}, changes=False)


def _lines(response: httpx.Response) -> Sequence[str]:
    """Not `splitlines`: a text may have other ends of lines in it."""
    return [line for line in response.content.decode().split("\n") if line]


def _params(filters: Filters, tenant_id: str | None) -> dict[str, str]:
    values = {"tenant_id": tenant_id, "actor": filters.get("actor"), "object": filters.get("object")}
    times = {"from": filters.get("since"), "to": filters.get("until")}
    given = {name: value for name, value in values.items() if value is not None}
    return given | {name: time.isoformat() for name, time in times.items() if time is not None}


def _record(item: dict[str, Any]) -> AuditRecord:
    return AuditRecord(**item | {"at": datetime.fromisoformat(item["at"])})
