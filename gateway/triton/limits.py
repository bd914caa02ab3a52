"""The gateway's limits against the engine's: a setting that Triton would refuse ends the gateway as it starts."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.settings import Settings
from gateway.triton.backend import EngineLimits
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import ServiceError
from web.settings import SettingsError

RETRY_S = 0.25
TIMEOUT_S = 5.0


async def engine_limits(load_balancer: LoadBalancer) -> EngineLimits | None:
    """Of the first replica that answers; None where it tells none."""
    while True:
        for replica in load_balancer.replicas:
            with suppress(ServiceError):
                return (await replica.backend.engine(TIMEOUT_S)).limits
        await asyncio.sleep(RETRY_S)


def check_limits(settings: Settings, limits: EngineLimits) -> None:
    """`SettingsError` names the first setting that is above what a call may have."""
    for field, value, max_value in (
        ("MAX_PAIRS_PER_CALL", settings.max_pairs_per_call, limits.pairs),
        ("MAX_TEXT_CHARACTERS", settings.max_text_characters, limits.text_characters),
        ("MAX_LABEL_CHARACTERS", settings.max_label_characters, limits.label_characters),
        ("MAX_TEMPLATE_CHARACTERS", settings.max_template_characters, limits.template_characters),
    ):
        if value > max_value:
            raise SettingsError(f"WANNENG_{field} is {value}, but Triton takes at most {max_value}; lower it")
