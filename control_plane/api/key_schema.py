"""Bodies and answers about keys, as JSON."""

from __future__ import annotations

from typing import Self

from msgspec import UNSET, Struct, UnsetType

from control_plane.api.schema import Time
from stores.paging import Page
from stores.tenants import ApiKey


class KeyBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tenants/{id}/keys` and of `POST /v1/keys`."""

    name: str = ""
    scopes: list[str] | None = None
    """By default all but `keys:write`, of those that the caller may give."""
    expires_at: Time | None = None
    """By default never, or when the caller's key expires."""


class RotateBody(Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/tenants/{id}/keys/{key}/rotate` and of `POST /v1/keys/{key}/rotate`."""

    overlap_s: float = 3_600.0
    """How long the old key still works."""


class KeyAnswer(Struct, frozen=True):
    """A key without its secret; `key`, with it, only in the answer that creates it."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: Time
    expires_at: Time | None
    last_used_at: Time | None
    """To a minute or so."""
    key: str | UnsetType = UNSET

    @classmethod
    def of(cls, key: ApiKey, secret: str | UnsetType = UNSET) -> Self:
        return cls(key.id, key.name, key.scopes, key.created_at, key.expires_at, key.last_used_at, secret)


class KeyList(Struct, frozen=True):
    keys: list[KeyAnswer]
    has_more: bool
    last_id: str | None

    @classmethod
    def of(cls, page: Page[ApiKey]) -> Self:
        keys = [KeyAnswer.of(key) for key in page.items]
        return cls(keys, page.has_more, keys[-1].id if keys else None)
