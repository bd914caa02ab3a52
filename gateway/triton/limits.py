"""The gateway's limits against the engine's: a setting that Triton would refuse ends the gateway as it starts."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.settings import Settings
from gateway.triton.backend import EngineLimits
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import ServiceError
from web.server import Draining

RETRY_S = 0.25
TIMEOUT_S = 5.0


async def end_on_contradiction(load_balancer: LoadBalancer, settings: Settings, draining: Draining) -> None:
    """End the process when a setting is above a limit of the first replica that answers."""
    while True:
        for replica in load_balancer.replicas:
            with suppress(ServiceError):
                limits = (await replica.backend.engine(TIMEOUT_S)).limits
                draining.failure = contradiction(settings, limits) if limits is not None else ""
                return
        await asyncio.sleep(RETRY_S)


def contradiction(settings: Settings, limits: EngineLimits) -> str:
    """Names the first setting that is above what a call may have; empty if there is none."""
    for field, limit in limits._asdict().items():
        if (value := getattr(settings, field)) > limit:
            return f"gateway: WANNENG_{field.upper()} is {value}, but Triton takes at most {limit}; lower it"
    return ""
