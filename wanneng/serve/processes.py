"""The processes of `wanneng serve` beside Triton: their commands, and environments with what each needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wanneng.settings import CONTROL_PLANE_HOST, ServeSettings, inherited_environment
from wanneng.variables import PREFIX

DERIVED = frozenset({"WANNENG_LENGTH_BUCKETS", "WANNENG_CONTROL_PLANE_URL"})
"""Given by what is started here, never by the environment."""
NICENESS = 10
"""Of the control plane and the worker: with too few cores for all, classifications come first."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What is started."""

    title: str
    """In messages: `the gateway`."""
    log_name: str
    command: list[str]
    environment: dict[str, str]
    before_exec: Callable[[], None] | None = None
    """Called in the new process."""
    trusted: bool = True
    """Whether it writes records, and nothing that looks like one in a caller's words."""


def gateway(settings: ServeSettings, internal_key: str, length_buckets: Sequence[int]) -> ProcessSpec:
    """With a file of tenants it needs no database and forwards nothing."""
    variables = {
        "HOST": settings.host,
        "PORT": str(settings.port),
        "INTERNAL_PORT": str(settings.internal_port),
        "REQUIRE_KEY": _flag(settings.require_key),
        "TRITON_URL": settings.triton_url,
        "SAME_USER": "true",
        "INTERNAL_KEY": internal_key,
    }
    if length_buckets:
        variables["LENGTH_BUCKETS"] = ",".join(map(str, length_buckets))
    if settings.redis_url:
        variables["REDIS_URL"] = settings.redis_url
    if settings.tenants_file is None:
        variables["DATABASE_URL"] = settings.effective_database_url
        variables["CONTROL_PLANE_URL"] = settings.control_plane_url
    else:
        variables["TENANTS_FILE"] = str(settings.tenants_file)
    return _spec("the gateway", "gateway", ["gateway"], variables)


def migration(settings: ServeSettings) -> ProcessSpec:
    """Ends when the database has the newest revision."""
    variables = {
        "DATABASE_URL": settings.effective_database_url,
        "REQUIRE_KEY": _flag(settings.keys_needed),
    }
    return _spec("the database migration", "migration", ["control_plane", "migrate"], variables)


def control_plane(settings: ServeSettings, admin_key: str, internal_key: str) -> ProcessSpec:
    """It listens on loopback, so whether the gateway needs keys it has to be told."""
    variables = {
        "CONTROL_PLANE_HOST": CONTROL_PLANE_HOST,
        "CONTROL_PLANE_PORT": str(settings.control_plane_port),
        "GATEWAY_METRICS_URL": settings.operators_url,
        "SAME_USER": "true",
        "DATABASE_URL": settings.effective_database_url,
        "ADMIN_KEY": admin_key,
        "INTERNAL_KEY": internal_key,
        "REQUIRE_KEY": _flag(settings.keys_needed),
    }
    if settings.oidc_client_secret:
        variables["OIDC_CLIENT_SECRET"] = settings.oidc_client_secret
    return _spec("the control plane", "control-plane", ["control_plane", "serve"], variables, _lower_priority)


def worker(settings: ServeSettings, internal_key: str) -> ProcessSpec:
    variables = {
        "GATEWAY_URL": settings.url,
        "SAME_USER": "true",
        "DATABASE_URL": settings.effective_database_url,
        "INTERNAL_KEY": internal_key,
    }
    if settings.budget_webhook_url:
        variables["BUDGET_WEBHOOK_URL"] = settings.budget_webhook_url
    if settings.budget_webhook_secret:
        variables["BUDGET_WEBHOOK_SECRET"] = settings.budget_webhook_secret
    return _spec("the worker", "worker", ["control_plane", "worker"], variables, _lower_priority)


def _lower_priority() -> None:
    os.nice(NICENESS)


def _flag(value: bool) -> str:
    return str(value).lower()


def _spec(
    title: str,
    log_name: str,
    module: list[str],
    variables: dict[str, str],
    before_exec: Callable[[], None] | None = None,
) -> ProcessSpec:
    environment = {name: value for name, value in inherited_environment().items() if name not in DERIVED}
    # Its outputs are read here, and written in the format that is asked for.
    own = {PREFIX + name: value for name, value in variables.items()} | {f"{PREFIX}LOG_FORMAT": "json"}
    return ProcessSpec(title, log_name, [sys.executable, "-m", *module], environment | own, before_exec)
