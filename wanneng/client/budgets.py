"""Budgets of tenants and of keys: `client.budgets`, `client.tenants.budget` and `set_budget`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from wanneng.client.keys import key_path, keys_path, tenant_path
from wanneng.client.transport import Request, json_object

PATH = "/v1/budget"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be used in a calendar month (UTC), where None is unlimited, and what is used of it."""

    key_id: str | None
    """None: the tenant's."""
    pairs_per_month: int | None
    tokens_per_month: int | None
    enforcement: str
    """`hard`, `soft` or `shadow`."""
    pairs_used: int
    tokens_used: int
    renewed_at: datetime


@dataclass(frozen=True, slots=True)
class Budgets:
    """What the caller's requests count against."""

    tenant: Budget
    key: Budget | None
    """None: the caller needs no key."""


def own_budgets() -> Request[Budgets]:
    return Request("GET", PATH, _budgets, changes=False)


def get_budget(tenant_id: str, key_id: str | None) -> Request[Budget]:
    return Request("GET", _path(tenant_id, key_id), _budget_of, changes=False)


def set_budget(
    tenant_id: str, key_id: str | None, pairs_per_month: int | None, tokens_per_month: int | None, enforcement: str
) -> Request[Budget]:
    budget = {
        "pairs_per_month": pairs_per_month,
        "tokens_per_month": tokens_per_month,
        "enforcement": enforcement,
    }
    return Request("PUT", _path(tenant_id, key_id), _budget_of, {"json": budget})


def _path(tenant_id: str, key_id: str | None) -> str:
    owner = tenant_path(tenant_id) if key_id is None else key_path(keys_path(tenant_id), key_id)
    return f"{owner}/budget"


def _budgets(response: httpx.Response) -> Budgets:
    answer = json_object(response)
    return Budgets(_budget(answer["tenant"]), None if answer["key"] is None else _budget(answer["key"]))


def _budget_of(response: httpx.Response) -> Budget:
    return _budget(json_object(response))


def _budget(item: dict[str, Any]) -> Budget:
    return Budget(
        item["key_id"],
        item["pairs_per_month"],
        item["tokens_per_month"],
        item["enforcement"],
        item["pairs_used"],
        item["tokens_used"],
        datetime.fromisoformat(item["renewed_at"]),
    )
