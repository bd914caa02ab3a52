"""What the gateways do at present: `client.status()`, with the admin key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from wanneng.client.transport import Request, json_object

PATH = "/v1/admin/status"


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one gateway, or summed: pairs in flight and the cache as they are now, the rest since its start."""

    pairs_in_flight: int
    pairs_at_triton: int
    """The others wait in the gateway."""
    cached_pairs: int
    cache_bytes: int
    cache_hits: int
    pairs_computed: int
    pairs_from_cache: int
    pairs_refused: int
    requests_answered: int
    requests_refused: int
    """429 and 503."""
    requests_invalid: int
    requests_failed: int
    budgets_exceeded: int


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    url: str
    error: str | None
    """Why nothing is known of it, or None; then the rest is known."""
    ready: bool | None
    workers: int | None
    redis_up: bool | None
    """None: it has none."""
    figures: Figures | None


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """Of Triton's replicas, at the gateway that sees the fewest of them answer."""

    pool: str
    answering: int
    ejected: int
    engines: Mapping[str, int]
    """Replicas by engine."""


@dataclass(frozen=True, slots=True)
class TenantRequests:
    """Since the gateways started; tenants beyond the first 100 of a gateway are `others` together."""

    tenant_id: str
    pairs: int
    answered: int
    refused: int
    invalid: int
    failed: int


@dataclass(frozen=True, slots=True)
class Status:
    gateways: Sequence[GatewayStatus]
    total: Figures
    """Of the gateways that answered."""
    pools: Sequence[PoolStatus]
    tenants: Sequence[TenantRequests]


def status_request() -> Request[Status]:
    return Request("GET", PATH, _status, changes=False)


def _status(response: httpx.Response) -> Status:
    answer = json_object(response)
    return Status(
        [_gateway(item) for item in answer["gateways"]],
        Figures(**answer["total"]),
        [PoolStatus(**item) for item in answer["pools"]],
        [TenantRequests(**item) for item in answer["tenants"]],
    )


def _gateway(item: dict[str, Any]) -> GatewayStatus:
    figures = item["figures"]
    return GatewayStatus(**item | {"figures": None if figures is None else Figures(**figures)})
