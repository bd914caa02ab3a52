"""Tenants, their quotas and their API keys: the records, and the ports of whatever keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypedDict, Unpack

from msgspec import Struct

from stores.budgets import NO_BUDGET, Budget
from stores.paging import Page, PageRequest
from stores.special_tokens import MODEL, SpecialTokens

ACTIVE, SUSPENDED = "active", "suspended"
CLASSIFY, READ_LABEL_SETS, WRITE_LABEL_SETS = "classify", "label_sets:read", "label_sets:write"
READ_USAGE = "usage:read"
READ_BATCHES, WRITE_BATCHES = "batches:read", "batches:write"
"""Of files too, which a batch reads and writes."""
READ_AUDIT = "audit:read"
READ_KEYS, WRITE_KEYS = "keys:read", "keys:write"
"""Of the tenant itself."""
DEFAULT_SCOPES = (
    *(CLASSIFY, READ_LABEL_SETS, WRITE_LABEL_SETS, READ_USAGE, READ_BATCHES, WRITE_BATCHES, READ_AUDIT),
    READ_KEYS,
)
"""Without the scope to make keys, which has to be asked for: such a key, once stolen, makes others that stay."""
SCOPES = (*DEFAULT_SCOPES, WRITE_KEYS)
"""What a key may be allowed to do."""
LOCAL_TENANT_ID = "local"
"""The tenant of this machine, as which a caller without a key is served on loopback."""


class Quota(Struct, frozen=True):
    """Limits of one tenant; None: the gateway's default."""

    requests_per_minute: int | None = None
    pairs_per_minute: int | None = None
    pairs_in_flight: int | None = None
    """At one gateway, at a time."""
    tokens_per_minute: int | None = None


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    status: str
    """`active` or `suspended`: a suspended tenant's keys are refused, and nothing of it is lost."""
    created_at: datetime
    quota: Quota = NO_QUOTA
    special_tokens: SpecialTokens = MODEL
    """In texts and labels, where neither the request nor the label set says it."""
    budget: Budget = NO_BUDGET


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key: everything but the key."""

    id: str
    tenant_id: str
    digest: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
    budget: Budget = NO_BUDGET
    name: str = ""
    """What people call it; empty: nothing."""

    def __repr__(self) -> str:
        return f"ApiKey(id={self.id!r}, tenant_id={self.tenant_id!r})"


@dataclass(frozen=True, slots=True)
class Replaced:
    """A key that another one takes the place of, and until when it still works."""

    id: str
    expires_at: datetime


class TenantChanges(TypedDict, total=False):
    """What of a tenant an operator changes; the rest stays."""

    name: str
    status: str
    quota: Quota
    special_tokens: SpecialTokens
    budget: Budget


class TenantStore(Protocol):
    """Tenants; a name is unique."""

    async def add(self, tenant: Tenant) -> None:
        """`Conflict` when the name is taken."""
        ...

    async def get(self, tenant_id: str) -> Tenant | None: ...

    async def page(self, request: PageRequest) -> Page[Tenant]:
        """By name; after a tenant's id."""
        ...

    async def change(self, tenant_id: str, **changes: Unpack[TenantChanges]) -> Tenant:
        """As it is then; `NotFound` when the tenant does not exist, `Conflict` when the name is taken."""
        ...

    async def remove(self, tenant_id: str) -> None:
        """With everything that is the tenant's; `NotFound` when it does not exist."""
        ...


class ApiKeyStore(Protocol):
    """API keys; each belongs to a tenant."""

    async def add(self, key: ApiKey, max_keys: int, replaced: Replaced | None = None) -> None:
        """With the end of the key that it replaces, all or nothing; what that has used counts as the new one's.

        `NotFound` when the tenant or that key does not exist, `Conflict` when the tenant has `max_keys`.
        """
        ...

    async def find(self, key_id: str) -> tuple[ApiKey, Tenant] | None: ...

    async def page(self, tenant_id: str, request: PageRequest) -> Page[ApiKey]:
        """In the order of their creation; after a key's id."""
        ...

    async def set_budget(self, tenant_id: str, key_id: str, budget: Budget) -> None:
        """`NotFound` when the tenant has no such key."""
        ...

    async def ends(self, since: datetime, until: datetime, limit: int) -> dict[str, datetime]:
        """When keys end, by id: those that end between the two; of more than `limit` the first."""
        ...

    async def mark_used(self, key_id: str, used_at: datetime) -> None:
        """`NotFound` when the key does not exist."""
        ...

    async def remove(self, tenant_id: str, key_id: str) -> None:
        """`NotFound` when the tenant has no such key."""
        ...
