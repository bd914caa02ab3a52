"""The settings of the control plane, and those of the worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from logs.setup import LogFormat
from stores.tenants import DEFAULT_SCOPES, SCOPES
from web import settings as server_settings
from web.settings import (
    DATABASE_URL,
    LOG_FORMAT,
    AmountOrNone,
    Count,
    Port,
    PortOrNone,
    Seconds,
    Secret,
    ServerSettings,
    SettingsError,
    Text,
    is_loopback,
    without_secrets,
)
from web.variables import PREFIX

__all__ = ["Settings", "SettingsError", "WorkerSettings", "load_settings", "load_worker_settings"]

TENANTS_FILE = f"{PREFIX}TENANTS_FILE"

MAX_TENANT_FILE_BYTES = 1_000_000_000
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Money = Annotated[float, Meta(ge=0, le=1e9)]
SessionSeconds = Annotated[float, Meta(ge=60, le=86_400)]


class Role(Struct, frozen=True, forbid_unknown_fields=True):
    """What a value of the claim allows: to be an operator, a caller of a tenant, or both."""

    operator: bool = False
    tenant: str = ""
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    """At the tenant."""


class Settings(ServerSettings, frozen=True, kw_only=True):
    """Each field is the variable `WANNENG_<FIELD>`."""

    control_plane_host: Text = "127.0.0.1"
    """Address of the control plane; callers reach it through the gateway."""
    control_plane_port: Port = 8081
    """Port of the control plane."""
    control_plane_internal_port: PortOrNone = 0
    """Port that serves the control plane's `/metrics`, and nothing but health checks beside it; 0: `/metrics` is
    on the main port."""
    admin_key: Secret = ""
    """The operator's key, at least 32 characters; unset: tenants cannot be managed over HTTP. Set by `wanneng
    serve`."""
    gateway_metrics_url: str = ""
    """Where gateways serve `/metrics`, for `/v1/admin/status`: one URL, several separated by commas, or
    `dns+http://name:8090` for every address of a name; unset: it answers 501. Set by `wanneng serve`."""
    same_user: bool = False
    """Connect to gateways on loopback only where the same user or root listens. Set by `wanneng serve`."""
    max_file_bytes: Count = 64_000_000
    """Size of one file of batch lines."""
    max_tenant_file_bytes: Count = MAX_TENANT_FILE_BYTES
    """Size of all files of a tenant, with what its unfinished batches have answered so far."""
    max_label_set_versions: Count = 100
    """Versions of one label set; the oldest one makes room for a new one."""
    max_tenant_label_set_bytes: Count = 64_000_000
    """Size of all versions of all label sets of a tenant."""
    tenant_names_in_metrics: bool = False
    """Show in `/metrics` which tenant has which name (`wanneng_tenant_info`), so that panels and alerts can name
    tenants; names are often those of customers."""
    upload_timeout_s: Seconds = 300.0
    """Longest time for a file to arrive."""
    price_per_million_tokens: Money = 0.0
    """Price of a million tokens of computed pairs, for the cost in usage reports; 0: no cost is shown."""
    currency: Currency = "CNY"
    """Currency of the price, an ISO 4217 code."""
    oidc_issuer: str = ""
    """Issuer of the OpenID Connect provider with which people sign in to the console, such as
    `https://login.example.com`; unset: they need a key."""
    oidc_client_id: str = ""
    """Client id of the console at the provider."""
    oidc_client_secret: str = ""
    """Secret of this client; unset for a public client, which is protected by PKCE alone."""
    oidc_redirect_urls: tuple[str, ...] = ()
    """Addresses of the console that the provider may send people back to, separated by commas, such as
    `https://classifier.example.com/console`. Register the same at the provider."""
    oidc_scopes: tuple[str, ...] = ("openid", "profile")
    """Scopes that are asked for, separated by commas; some providers need `groups` too."""
    oidc_claim: str = "groups"
    """Claim of the ID token, a text or a list of texts, by whose values roles are given."""
    oidc_roles: dict[str, Role] = field(default_factory=dict)
    """Roles by value of the claim, as JSON: `{"admins": {"operator": true}, "acme": {"tenant": "t_0123456789ab",
    "scopes": ["classify", "usage:read"]}}`. Without `scopes`, a role has all but `keys:write`. Whoever has no role
    is refused."""
    oidc_session_s: SessionSeconds = 14_400.0
    """How long a session lasts after signing in. It is stored nowhere, and cannot be ended earlier than by
    suspending its tenant or by replacing the internal key; that of an operator, by replacing the admin key."""

    @property
    def keys_needed(self) -> bool:
        """Whoever reaches another address than loopback is a stranger."""
        return self.require_key or not is_loopback(self.control_plane_host)


class _SharedSettings(Struct, frozen=True, kw_only=True):
    """What other processes read as well."""

    database_url: Text = DATABASE_URL
    log_format: LogFormat = LOG_FORMAT
    max_tenant_file_bytes: Count = MAX_TENANT_FILE_BYTES


class WorkerSettings(_SharedSettings, frozen=True, kw_only=True):
    """Each field is the variable `WANNENG_<FIELD>`."""

    gateway_url: Text = "http://127.0.0.1:8080"
    """Address of the gateway that classifies the lines. Set by `wanneng serve`."""
    worker_port: PortOrNone = 0
    """Port of the worker for `/livez` and `/metrics`, at every address; 0: none."""
    internal_key: Secret = ""
    """Secret by which the gateway recognizes the worker, at least 32 characters. Set by `wanneng serve`."""
    same_user: bool = False
    """Connect to the gateway on loopback only where the same user or root listens. Set by `wanneng serve`."""
    max_batch_lines: Count = 50_000
    """Lines of one batch."""
    max_batch_output_bytes: Count = 256_000_000
    """Size of the results of one batch; it ends when they have more."""
    batch_lines_at_once: Count = 16
    """Lines that a worker has under way."""
    batch_retention_days: Seconds = 30.0
    """How long files and batches are kept."""
    audit_retention_days: AmountOrNone = 400.0
    """How long administrative acts are kept; 0: for ever. A day's acts are removed together."""
    budget_webhook_url: str = ""
    """URL to which the worker posts an alert when 80% and when all of a hard or soft budget is used; unset:
    none."""
    budget_webhook_secret: Secret = ""
    """Secret that signs the alerts, at least 32 characters."""
    budget_webhook_link_local: bool = False
    """Post alerts to link-local addresses too, where cloud metadata services hand out a machine's credentials."""

    def __repr__(self) -> str:
        return without_secrets(self)


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environment` (the process's own by default); `SettingsError` names the bad variable."""
    _refuse_tenants_file(environment)
    return server_settings.load_settings(Settings, environment)


def is_secure_url(text: str) -> bool:
    """Whether what is sent there cannot be read on its way: HTTPS, or HTTP on this machine."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
    except ValueError:
        return False


def check_oidc(settings: Settings) -> None:
    """`SettingsError` where people could not sign in, or a role is one that nobody can have."""
    name = f"{PREFIX}OIDC_"
    if not settings.oidc_client_id or not settings.oidc_redirect_urls or not settings.oidc_roles:
        raise SettingsError(f"{name}ISSUER needs {name}CLIENT_ID, {name}REDIRECT_URLS and {name}ROLES")
    if not settings.internal_key:
        raise SettingsError(f"{name}ISSUER needs {PREFIX}INTERNAL_KEY, from which the key of sessions is derived")
    if not all(map(is_secure_url, (settings.oidc_issuer, *settings.oidc_redirect_urls))):
        raise SettingsError(
            f"{name}ISSUER and {name}REDIRECT_URLS must begin with https://, or lead to this machine"
        )
    if "openid" not in settings.oidc_scopes:
        raise SettingsError(f"{name}SCOPES must have openid")
    for value, role in settings.oidc_roles.items():
        unknown = set(role.scopes) - set(SCOPES)
        if unknown:
            raise SettingsError(
                f"{name}ROLES: the scope {min(unknown)!r} of {value!r} is not one of {', '.join(SCOPES)}"
            )
        if not (role.operator or role.tenant):
            raise SettingsError(f"{name}ROLES: {value!r} needs `operator` or `tenant`")
        if role.operator and not settings.admin_key:
            raise SettingsError(
                f"{name}ROLES: the operator's role of {value!r} needs {PREFIX}ADMIN_KEY, from which the key of an "
                "operator's sessions is derived"
            )


def load_worker_settings(environment: Mapping[str, str] | None = None) -> WorkerSettings:
    """As `load_settings`; the internal key is needed."""
    _refuse_tenants_file(environment)
    settings = server_settings.load_settings(WorkerSettings, environment)
    if not settings.internal_key:
        raise SettingsError(
            f"{PREFIX}INTERNAL_KEY is missing; give the worker and the gateway the same secret of at least 32 "
            "characters"
        )
    if settings.budget_webhook_url and not settings.budget_webhook_secret:
        raise SettingsError(
            f"{PREFIX}BUDGET_WEBHOOK_URL needs {PREFIX}BUDGET_WEBHOOK_SECRET, which signs the alerts: give the "
            "worker and the receiver the same secret of at least 32 characters"
        )
    return settings


def _refuse_tenants_file(environment: Mapping[str, str] | None) -> None:
    if (os.environ if environment is None else environment).get(TENANTS_FILE):
        raise SettingsError(
            f"{TENANTS_FILE} is set; there is no control plane where tenants are declared in a file"
        )
