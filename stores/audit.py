"""The audit log: a record of each administrative act, in a chain of hashes; and the port of what keeps it.

The hash of a record is the SHA-256 of its canonical JSON (RFC 8785), which has the hash of the record before it.
"""

from __future__ import annotations

import getpass
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from msgspec import Struct, structs

from stores.paging import Page, PageRequest

FIRST_HASH = "0" * 64
"""In place of the hash before the first record."""
PRUNED = "audit.prune"
"""The act that removes the oldest records; it keeps the hash that the oldest one left has to follow."""
MAX_USER_CHARACTERS = 64
LOCAL_ACTOR = "local"
"""A caller of this machine who needs no key."""

MAX_PERSON_CHARACTERS = 64

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """What was done: to what, and what differs since. Values never have a secret, a text or a label."""

    verb: str
    """Such as `tenant.update`."""
    object: str
    """Such as `tenant/t_0123`."""
    tenant_id: str | None = None
    """Whose the object is; None: the deployment's."""
    before: Values | None = None
    after: Values | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acts, and with which request."""

    actor: str
    """`admin:` with the first digits of the admin key's SHA-256, `key:` with a key's id, `oidc:` with a person of
    the identity provider, `local`, or `command:` with a user of the machine."""
    request_id: str | None = None


class AuditRecord(Struct, frozen=True):
    sequence: int
    """1, 2, 3 and so on, without a gap."""
    at: str
    """RFC 3339, in UTC, with microseconds."""
    actor: str
    verb: str
    object: str
    tenant_id: str | None
    request_id: str | None
    before: Any
    after: Any
    previous: str
    """Hash of the record before."""
    hash: str

    @property
    def is_intact(self) -> bool:
        """Whether the content is what the hash was made of."""
        return self.hash == hash_of(structs.asdict(self))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records; None: all of them."""

    tenant_id: str | None = None
    actor: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Not included."""
    after: int = field(default=0)
    """Sequence of a record; only later ones."""


class AuditLog(Protocol):
    async def page(self, records: AuditFilter, request: PageRequest) -> Page[AuditRecord]:
        """Newest first, after the sequence of a record."""
        ...

    async def read(self, records: AuditFilter, limit: int) -> Sequence[AuditRecord]:
        """The oldest `limit` of them, oldest first."""
        ...

    async def prune(self, before: datetime) -> int:
        """Remove older records, and say so in a new one; how many."""
        ...


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def person(subject: str) -> str:
    """The actor that somebody is who has signed in; `subject` has at most `MAX_PERSON_CHARACTERS`."""
    return f"oidc:{subject}"


@contextmanager
def acting(origin: Origin) -> Iterator[None]:
    """What is done within the block is recorded as done by `origin`."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def current_origin() -> Origin:
    """Outside of a request it is a command, by the user of the process."""
    return _origin.get() or Origin(f"command:{_user()}")


def difference(before: Values, after: Values) -> tuple[Values, Values]:
    """Both without what they have in common."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


def rfc3339(time: datetime) -> str:
    """In UTC with microseconds, so that texts are in the order of the times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def canonical(values: Values) -> str:
    """JSON as RFC 8785 has it, of what a record may have: integers, texts, and names in ASCII."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of(record: Values) -> str:
    """Of all of it but its hash."""
    content = {name: value for name, value in record.items() if name != "hash"}
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()[:MAX_USER_CHARACTERS]
    except (KeyError, OSError):
        # A container's user need not have a name.
        return "unknown"
