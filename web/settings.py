"""Settings of a server: a frozen struct whose fields are `WANNENG_<FIELD>` in the environment, with bounds."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from logs.setup import LogFormat
from stores.label_sets import LabelLimits
from web.variables import PREFIX, sentence, unknown_variables

DATABASE_URL = "sqlite:///.state/wanneng.db"
"""A file below the working directory."""
LOG_FORMAT: LogFormat = "auto"
SECRETS = frozenset(
    {"admin_key", "budget_webhook_secret", "budget_webhook_url", "database_url", "redis_url", "internal_key"}
    | {"oidc_client_secret"}
)
"""Fields that are shown nowhere."""
KEYS, VISIBLE_ASCII = frozenset({"admin_key", "internal_key"}), "[!-~]+"
"""Secrets that are sent in a header."""
URLS = frozenset({"budget_webhook_url", "control_plane_url", "gateway_url", "otlp_endpoint"})
"""Fields that are addresses of HTTP servers."""

Port = Annotated[int, Meta(ge=1, le=65_535)]
PortOrNone = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]
"""0 stands for "no limit" or "off", as the field says."""
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
AmountOrNone = Annotated[float, Meta(ge=0, le=1e9)]
"""0 stands for "none" or "no limit", as the field says."""
Text = Annotated[str, Meta(min_length=1)]
Secret = Annotated[str, Meta(min_length=32)]
"""Shared by processes, chosen at random; empty by default, which switches off what it opens."""


class SettingsError(Exception):
    """A variable of the environment has a value that cannot be used; the message names it."""


class LogSettings(Struct, frozen=True, kw_only=True):
    """What every process reads first, so that it can say what is wrong with the others."""

    log_format: LogFormat = LOG_FORMAT


class ServerSettings(LabelLimits, frozen=True, kw_only=True):
    """What both planes read."""

    database_url: Text = DATABASE_URL
    """Database of tenants, label sets, files and batches: `sqlite:///PATH`, or `postgresql://…` to share it."""
    require_key: bool = False
    """Ask for a key on loopback too; on every other address one is always needed."""
    internal_key: Secret = ""
    """Secret by which gateways, the control plane and the worker recognize each other, at least 32 characters;
    unset: a gateway accepts no worker, and forwards no request without a key. Set by `wanneng serve`."""
    key_cache_ttl_s: Seconds = 5.0
    """How long a key or label set that was read is trusted: a change acts everywhere within this time."""
    drain_s: AmountOrNone = 0.0
    """How long after SIGTERM requests are still answered, each with `Connection: close`."""
    body_timeout_s: Seconds = 10.0
    """Longest time for a request body to arrive."""
    max_body_bytes: Count = 4_000_000
    """Size of a request body."""
    keep_alive_s: Seconds = 75.0
    """How long an idle connection stays open; longer than the 60 s for which proxies keep theirs."""
    header_timeout_s: Seconds = 10.0
    """Longest time from the first byte of a request, or from a new connection, to the end of its headers."""
    max_header_bytes: Count = 65_536
    """Size of a request's headers, its URL included."""
    max_headers: Count = 100
    """Number of a request's headers."""
    max_connections: Count = 10_000
    """Open connections; beyond them the longest idle one is closed. At most the process's limit of open files."""
    max_connections_per_address: CountOrNone = 1_000
    """Open connections from one address; 0: unlimited, for a gateway behind a proxy."""
    max_unsent_bytes: Count = 64_000_000
    """Answers that clients have not read yet, of all connections; beyond it, who has read nothing for longest is
    cut off."""
    max_unfinished_bytes: Count = 64_000_000
    """Incomplete headers of all connections, and as much again of request bodies until they are decoded, counted
    at their decompressed size; beyond it the oldest connection is cut off. A tenant with several bodies may have
    as many bytes as are left free, at most half of all; beyond that its oldest incomplete body is cut off, or, if
    all are complete, its newest one is refused."""
    log_format: LogFormat = LOG_FORMAT
    """Format of the log, for the worker too: `json`, `text` for people, or `auto`: text on a terminal, JSON
    everywhere else."""
    otlp_endpoint: str = ""
    """OpenTelemetry collector for traces, such as `http://collector:4318`; unset: no tracing."""

    def __repr__(self) -> str:
        return without_secrets(self)


def authorities_setting(environment: Mapping[str, str] | None = None) -> str:
    """What leads to the certificates of authorities, as the beginning of a sentence."""
    variables = os.environ if environment is None else environment
    # In httpx's order.
    named = [f"{name} is {variables[name]!r}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if variables.get(name)]
    return named[0] if named else "certifi has the authorities"


def without_secrets(settings: Struct) -> str:
    """A representation for logs and tracebacks."""
    shown = {name: value for name, value in msgspec.structs.asdict(settings).items() if name not in SECRETS}
    return f"{type(settings).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


_Settings = TypeVar("_Settings", bound=Struct)


def load_settings(kind: type[_Settings], environment: Mapping[str, str] | None = None) -> _Settings:
    """Settings from `environment` (the process's own by default); `SettingsError` names the bad variable."""
    variables = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    fields = msgspec.structs.fields(kind)
    if kind is not LogSettings:
        unknown = set(unknown_variables(variables)) - {PREFIX + field.name.upper() for field in fields}
        if unknown:
            raise SettingsError("; ".join(map(sentence, sorted(unknown))))
    for field in fields:
        variable = PREFIX + field.name.upper()
        text = variables.get(variable)
        if text is None:
            continue
        if not text.strip():
            # An empty address would mean every interface of the machine.
            raise SettingsError(f"{variable} is empty; give it a value or unset it")
        if field.name in KEYS and not re.fullmatch(VISIBLE_ASCII, text.strip()):
            raise SettingsError(
                f"{variable} has a character that no header can have; letters and digits are needed, as "
                "`openssl rand -hex 32` makes them"
            )
        if field.name in URLS and not _is_http_url(text.strip()):
            # Not its value, which may have a password.
            raise SettingsError(f"{variable} is not like http://host:8080")
        try:
            values[field.name] = _convert(text.strip(), field.type)
        except msgspec.ValidationError as error:
            shown = "" if field.name in SECRETS else f" is {text!r}"
            raise SettingsError(f"{variable}{shown}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{variable} is not JSON: {error}") from None
    return kind(**values)


def _convert(text: str, kind: Any) -> Any:
    if kind is Path:
        return Path(text)
    plain = getattr(kind, "__origin__", kind)
    if get_origin(kind) is tuple or get_origin(plain) is tuple:
        return msgspec.convert([part.strip() for part in text.split(",") if part.strip()], kind, strict=False)
    if plain is dict:
        return msgspec.convert(json.loads(text, object_pairs_hook=_with_unique_names), kind)
    if plain is bool:
        text = {"yes": "true", "no": "false"}.get(text.lower(), text)
    return msgspec.convert(text, kind, strict=False)


def _with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; `ValidationError` for a name that it has twice, of which parsers take the last."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise msgspec.ValidationError(f"the name {name!r} is used twice")
        values[name] = value
    return values


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
