"""Which pool answers a request where pools with another model answer a share of the requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

from gateway.triton.replica import Replica

POINTS = 2**32
REST = math.inf
"""The point of what no pool with a share is asked for."""


def points_of(tenant_id: str, text: str) -> tuple[float, float]:
    """Two independent points from 0 to 1, the same in every gateway: of the pool, and of the sample to compare."""
    digest = blake2b(f"{tenant_id}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest[:4]) / POINTS, int.from_bytes(digest[4:]) / POINTS


def with_share(replicas: Sequence[Replica], point: float) -> Sequence[Replica]:
    """Those of the pool at `point`, or of the pools without a share; others only where there are none of these."""
    shares = {r.address.pool: r.address.share for r in replicas if r.address.share is not None}
    for pool, share in sorted(shares.items()):
        if point < share:
            return [replica for replica in replicas if replica.address.pool == pool]
        point -= share
    return [replica for replica in replicas if replica.address.share is None] or replicas


def capacity_of(replicas: Sequence[Replica]) -> float:
    """The weights that can be used together, as no pool gets more work than its share."""
    weights: dict[str | None, float] = {}
    shares: dict[str | None, float] = {}
    for replica in replicas:
        pool = None if replica.address.share is None else replica.address.pool
        weights[pool] = weights.get(pool, 0.0) + replica.address.weight
        shares[pool] = replica.address.share or 0.0
    shares[None] = 1.0 - sum(share for pool, share in shares.items() if pool is not None)
    usable = [weight / shares[pool] for pool, weight in weights.items() if shares[pool] > 0.0]
    return min(usable, default=sum(weights.values()))
