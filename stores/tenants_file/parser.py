"""Parses the tenants file, and validates it as a whole."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import msgspec
from msgspec import Struct, structs

from stores.api_keys import DIGEST, KEY_ID
from stores.budgets import NO_BUDGET, Budget
from stores.correction import Correction
from stores.errors import InvalidRequest
from stores.evaluation import Evaluation, validate_evaluation
from stores.label_sets import MAX_VERSION, NAME, LabelLimits, LabelSet, LabelSetContent, SetLabel, validate_content
from stores.special_tokens import MODEL, SpecialTokens
from stores.tenants import ACTIVE, DEFAULT_SCOPES, SCOPES, SUSPENDED, ApiKey, Quota, Tenant
from stores.tenants_file.yaml_loader import load_yaml

TENANT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
CREATED_AT = datetime(1970, 1, 1, tzinfo=UTC)
"""A file does not say when."""


class _Key(Struct, forbid_unknown_fields=True):
    id: str
    sha256: str
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    expires_at: datetime | None = None
    budget: Budget = NO_BUDGET


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
    special_tokens: SpecialTokens | None = None
    correction: Correction | None = None
    evaluation: Evaluation | None = None


class _Quota(Struct, frozen=True, forbid_unknown_fields=True):
    requests_per_minute: int | None = None
    pairs_per_minute: int | None = None
    pairs_in_flight: int | None = None
    tokens_per_minute: int | None = None


class _Tenant(Struct, forbid_unknown_fields=True):
    id: str
    name: str | None = None
    status: str = ACTIVE
    quota: _Quota = _Quota()
    budget: Budget = NO_BUDGET
    special_tokens: SpecialTokens = MODEL
    keys: list[_Key] = []
    label_sets: list[_LabelSet] = []


class _File(Struct, forbid_unknown_fields=True):
    tenants: list[_Tenant]


class TenantsFileError(Exception):
    """The file cannot be used; the message says where and why."""


class TenantsFileContent:
    """One content of the file; `TenantsFileError` when it cannot be used."""

    def __init__(self, content: bytes, limits: LabelLimits) -> None:
        try:
            file = msgspec.convert(load_yaml(content), _File, builtin_types=(date, datetime))
        except (msgspec.ValidationError, ValueError) as error:
            raise TenantsFileError(str(error)) from None
        self.tenants: dict[str, Tenant] = {}
        self.keys: dict[str, ApiKey] = {}
        self.label_sets: dict[tuple[str, str, int], LabelSet] = {}
        for position, tenant in enumerate(file.tenants):
            self._add(tenant, f"tenants[{position}]", limits)
        names = [tenant.name for tenant in self.tenants.values()]
        _check(len(set(names)) == len(names), "tenants", "two tenants have the same name")

    def _add(self, declared: _Tenant, path: str, limits: LabelLimits) -> None:
        _check(bool(TENANT_ID.fullmatch(declared.id)), f"{path}.id", "only a-z, 0-9, _ and - are allowed")
        _check(declared.id not in self.tenants, f"{path}.id", "used twice")
        _check(declared.status in (ACTIVE, SUSPENDED), f"{path}.status", f"must be {ACTIVE} or {SUSPENDED}")
        quota = Quota(**structs.asdict(declared.quota))
        values = structs.astuple(quota)
        _check(all(value is None or value > 0 for value in values), f"{path}.quota", "must be more than 0")
        name = declared.name or declared.id
        self.tenants[declared.id] = Tenant(
            declared.id, name, declared.status, CREATED_AT, quota, declared.special_tokens, declared.budget
        )
        for number, key in enumerate(declared.keys):
            self._add_key(declared.id, key, f"{path}.keys[{number}]")
        for number, label_set in enumerate(declared.label_sets):
            self._add_label_set(declared.id, label_set, f"{path}.label_sets[{number}]", limits)

    def _add_key(self, tenant_id: str, key: _Key, path: str) -> None:
        is_id = bool(KEY_ID.fullmatch(key.id))
        _check(is_id, f"{path}.id", "must be the middle part of the key, 12 hexadecimal digits")
        _check(key.id not in self.keys, f"{path}.id", "used twice")
        _check(bool(DIGEST.fullmatch(key.sha256)), f"{path}.sha256", "must be 64 hexadecimal digits")
        unknown = set(key.scopes) - set(SCOPES)
        _check(not unknown, f"{path}.scopes", f"must be among {', '.join(SCOPES)}")
        zoned = key.expires_at is None or key.expires_at.tzinfo is not None
        _check(zoned, f"{path}.expires_at", "must have a time zone, as 2030-01-31T00:00:00Z")
        self.keys[key.id] = ApiKey(
            key.id, tenant_id, key.sha256, key.scopes, CREATED_AT, key.expires_at, budget=key.budget
        )

    def _add_label_set(self, tenant_id: str, declared: _LabelSet, path: str, limits: LabelLimits) -> None:
        _check(bool(NAME.fullmatch(declared.name)), f"{path}.name", "only a-z, 0-9, _ and - are allowed")
        in_range = 1 <= declared.version <= MAX_VERSION
        _check(in_range, f"{path}.version", f"must be between 1 and {MAX_VERSION}")
        version = (tenant_id, declared.name, declared.version)
        _check(version not in self.label_sets, f"{path}.version", "used twice")
        labels = (
            SetLabel(label) if isinstance(label, str) else SetLabel(label.label, label.hypothesis)
            for label in declared.labels
        )
        content = LabelSetContent(
            tuple(labels),
            declared.hypothesis_template,
            declared.multi_label,
            declared.max_tokens,
            declared.threshold,
            declared.special_tokens,
            declared.correction,
        )
        try:
            validate_content(content, limits)
            if declared.evaluation is not None:
                validate_evaluation(declared.evaluation, declared.version)
        except InvalidRequest as error:
            raise TenantsFileError(f"{path}.{error}") from None
        self.label_sets[version] = LabelSet(*version, content, CREATED_AT, declared.evaluation)


def _check(good: bool, path: str, problem: str) -> None:
    if not good:
        raise TenantsFileError(f"{path}: {problem}")
