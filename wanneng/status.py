"""`wanneng status`: what the gateways do at present."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from wanneng.client import Client
from wanneng.client.status import Figures, Status
from wanneng.keys import AdminKeyFile, admin_key
from wanneng.local_server import local_admin_key
from wanneng.options import print_table
from wanneng.settings import ServeSettings

LOCAL_URL = ServeSettings().url
LOCAL_ADMIN_KEY = ServeSettings().state_dir / "admin.key"
_Url = Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway's address.")]


@dataclass(frozen=True, slots=True)
class _Gateway:
    """A row; cells are empty where the gateway did not answer."""

    gateway: str
    state: str
    waiting: int | None
    at_triton: int | None
    cached_pairs: int | None
    answered: int | None
    refused: int | None
    failed: int | None


@dataclass(frozen=True, slots=True)
class _Pool:
    pool: str
    answering: int
    ejected: int
    engines: str


def status(url: _Url = LOCAL_URL, admin_key_file: AdminKeyFile = None) -> None:
    """Show what the gateways do: their queues, caches, refusals, and the replicas of Triton that they reach."""
    with Client(url, admin_key(admin_key_file) or local_admin_key(url, LOCAL_ADMIN_KEY)) as client:
        known = client.status()
    print_table(_gateways(known), tuple(_Gateway.__dataclass_fields__))
    print()
    pools = (
        _Pool(
            pool.pool, pool.answering, pool.ejected, ", ".join(f"{n}x {name}" for name, n in pool.engines.items())
        )
        for pool in known.pools
    )
    print_table(pools, tuple(_Pool.__dataclass_fields__))
    print()
    print_table(known.tenants, ("tenant_id", "pairs", "answered", "refused", "invalid", "failed"))


def _gateways(known: Status) -> Iterator[_Gateway]:
    for gateway in known.gateways:
        if gateway.error is not None:
            state = gateway.error
        else:
            state = "ready" if gateway.ready else "waiting for a first answer from Triton"
            state += "" if gateway.redis_up is not False else ", Redis does not answer"
        yield _Gateway(gateway.url, state, *_cells(gateway.figures))
    if len(known.gateways) > 1:
        yield _Gateway("all", "", *_cells(known.total))


def _cells(figures: Figures | None) -> tuple[int | None, ...]:
    if figures is None:
        return (None,) * 6
    return (
        figures.pairs_in_flight - figures.pairs_at_triton,
        figures.pairs_at_triton,
        figures.cached_pairs,
        figures.requests_answered,
        figures.requests_refused,
        figures.requests_failed,
    )
