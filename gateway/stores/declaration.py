"""What the declared file says, checked whole. Knows no file."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from gateway.errors import InvalidRequest
from gateway.keys import DIGEST, KEY_ID
from gateway.label_sets import NAME, Content, LabelSet, SetLabel, check_content
from gateway.quotas import Quota
from gateway.settings import Settings
from gateway.stores.database import DatabaseError
from gateway.tenants import ACTIVE, SCOPES, SUSPENDED, Key, Tenant

TENANT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
MADE_AT = datetime(1970, 1, 1, tzinfo=UTC)
"""A file does not say when."""


class _Key(Struct, forbid_unknown_fields=True):
    id: str
    sha256: str
    scopes: tuple[str, ...] = SCOPES
    expires_at: datetime | None = None


class _Label(Struct, forbid_unknown_fields=True):
    label: str
    hypothesis: str | None = None


class _LabelSet(Struct, forbid_unknown_fields=True):
    name: str
    labels: list[str | _Label]
    version: int = 1
    hypothesis_template: str = "{}"
    multi_label: bool = False
    max_tokens: int | None = None
    threshold: float | None = None


class _Quota(Struct, frozen=True, forbid_unknown_fields=True):
    requests_per_minute: int | None = None
    pairs_per_minute: int | None = None
    pairs_in_flight: int | None = None


class _Tenant(Struct, forbid_unknown_fields=True):
    id: str
    name: str | None = None
    status: str = ACTIVE
    quota: _Quota = _Quota()
    keys: list[_Key] = []
    label_sets: list[_LabelSet] = []


class _File(Struct, forbid_unknown_fields=True):
    tenants: list[_Tenant]


class Declaration:
    """One content of the file; `DatabaseError` with the place when it cannot be used."""

    def __init__(self, content: bytes, limits: Settings) -> None:
        try:
            file = msgspec.yaml.decode(content, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DatabaseError(" ".join(str(error).split())) from None
        self.tenants: dict[str, Tenant] = {}
        self.keys: dict[str, Key] = {}
        self.label_sets: dict[tuple[str, str, int], LabelSet] = {}
        for place, tenant in enumerate(file.tenants):
            self._add(tenant, f"tenants[{place}]", limits)
        names = [tenant.name for tenant in self.tenants.values()]
        _check(len(set(names)) == len(names), "tenants", "two have the same name")

    def _add(self, declared: _Tenant, place: str, limits: Settings) -> None:
        _check(bool(TENANT_ID.fullmatch(declared.id)), f"{place}.id", "a-z, 0-9, _ and - are possible")
        _check(declared.id not in self.tenants, f"{place}.id", "it is there twice")
        _check(declared.status in (ACTIVE, SUSPENDED), f"{place}.status", f"{ACTIVE} and {SUSPENDED} are possible")
        quota = Quota(
            declared.quota.requests_per_minute, declared.quota.pairs_per_minute, declared.quota.pairs_in_flight
        )
        values = (quota.requests, quota.pairs, quota.pairs_in_flight)
        _check(all(value is None or value > 0 for value in values), f"{place}.quota", "more than 0 is needed")
        name = declared.name or declared.id
        self.tenants[declared.id] = Tenant(declared.id, name, declared.status, MADE_AT, quota)
        for number, key in enumerate(declared.keys):
            self._add_key(declared.id, key, f"{place}.keys[{number}]")
        for number, label_set in enumerate(declared.label_sets):
            self._add_label_set(declared.id, label_set, f"{place}.label_sets[{number}]", limits)

    def _add_key(self, tenant_id: str, key: _Key, place: str) -> None:
        _check(bool(KEY_ID.fullmatch(key.id)), f"{place}.id", "the middle part of the key is needed")
        _check(key.id not in self.keys, f"{place}.id", "it is there twice")
        _check(bool(DIGEST.fullmatch(key.sha256)), f"{place}.sha256", "64 hexadecimal digits are needed")
        unknown = set(key.scopes) - set(SCOPES)
        _check(not unknown, f"{place}.scopes", f"{', '.join(SCOPES)} are possible")
        zoned = key.expires_at is None or key.expires_at.tzinfo is not None
        _check(zoned, f"{place}.expires_at", "a zone is needed, as 2030-01-31T00:00:00Z")
        self.keys[key.id] = Key(key.id, tenant_id, key.sha256, key.scopes, MADE_AT, key.expires_at)

    def _add_label_set(self, tenant_id: str, declared: _LabelSet, place: str, limits: Settings) -> None:
        _check(bool(NAME.fullmatch(declared.name)), f"{place}.name", "a-z, 0-9, _ and - are possible")
        _check(declared.version > 0, f"{place}.version", "more than 0 is needed")
        known = (tenant_id, declared.name, declared.version)
        _check(known not in self.label_sets, f"{place}.version", "it is there twice")
        labels = (
            SetLabel(one) if isinstance(one, str) else SetLabel(one.label, one.hypothesis)
            for one in declared.labels
        )
        content = Content(
            tuple(labels),
            declared.hypothesis_template,
            declared.multi_label,
            declared.max_tokens,
            declared.threshold,
        )
        try:
            check_content(content, limits)
        except InvalidRequest as error:
            raise DatabaseError(f"{place}.{error}") from None
        self.label_sets[known] = LabelSet(*known, content, MADE_AT)


def _check(good: bool, place: str, wanted: str) -> None:
    if not good:
        raise DatabaseError(f"{place}: {wanted}")
