"""The settings of the gateway: the only reader of its environment. Knows names, defaults and units."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

PREFIX = "WANNENG_"
MAY_BE_ZERO = frozenset({"cache_bytes"})
"""Beside those whose default is 0."""


class SettingsError(Exception):
    """A variable of the environment has a value that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is the variable `WANNENG_<FIELD>`."""

    host: str = "127.0.0.1"
    port: int = 8080
    triton_url: str = "http://127.0.0.1:8000"
    """One Triton, several with commas between them, or `dns+http://name:8000` for every address of a name."""
    database_url: str = field(default="sqlite:///.state/wanneng.db", repr=False)
    """Where tenants and keys are: a file of SQLite, or PostgreSQL where gateways are many."""
    declared: str = ""
    """A YAML file of tenants and label sets instead of the database; read only, read again when it changes."""
    admin_key: str = field(default="", repr=False)
    """The operator's key; without one, tenants cannot be managed over HTTP."""
    require_key: bool = False
    """Ask for a key on loopback too; on every other address one is always needed."""
    key_memory_s: float = 5.0
    """How long a key that was looked up is taken as known: a revoked one may work so long at another gateway."""
    requests_per_minute: int = 0
    """Quota of a tenant that has none of its own; 0: none."""
    pairs_per_minute: int = 0
    """The same for pairs."""
    cached_pair_cost: float = 0.0
    """What a known pair takes of the quota; a computed one takes 1."""
    deadline_s: float = 10.0
    """Longest time from a request's body to its answer; a Triton that is silent for 30% of it counts as lost."""
    drain_s: float = 0.0
    """How long after SIGTERM it still answers, each time with `Connection: close`."""
    body_timeout_s: float = 10.0
    """Longest time for a body to arrive."""
    max_body_bytes: int = 4_000_000
    max_texts: int = 64
    max_text_characters: int = 100_000
    max_labels: int = 256
    max_label_characters: int = 1_024
    max_template_characters: int = 1_024
    max_pairs: int = 2_048
    """Texts times labels of one request."""
    max_pairs_in_flight: int = 4_096
    """Pairs of all requests, waiting and at Triton; a tenant alone may hold half, so that others find room."""
    max_wait_s: float = 1.0
    """Longest time that a request may be expected to wait for its turn at Triton; one that would is refused."""
    tenant_pairs_in_flight: int = 0
    """Quota of a tenant that has none of its own; 0: its share of all."""
    pairs_per_replica: int = 128
    """Pairs at one Triton at a time; the others wait here, where turns are fair between tenants."""
    max_pairs_per_call: int = 64
    """Pairs of one call to Triton: the `max_batch_size` of `structbert`."""
    cache_bytes: int = 64_000_000
    """What the pair cache of this process may take; 0: no cache."""
    cache_ttl_s: float = 3_600.0
    """How long a pair stays in the cache."""
    redis_url: str = field(default="", repr=False)
    """Redis or Valkey, where gateways are many: they share known pairs and quotas through it."""
    redis_timeout_s: float = 0.05
    """Longest wait for it; then without it."""
    otlp_endpoint: str = ""
    """OpenTelemetry's collector, such as `http://collector:4318`; without one nothing is traced."""
    buckets: tuple[int, ...] = ()
    """Length buckets that Triton serves, in tokens, as `32,64,128`; none where one model takes every length."""
    max_calls_per_request: int = 8
    """Calls to Triton that one request may have under way."""
    priority: int = 0
    """In Triton's queue: 1 before 2 before 3; 0: Triton's own, 2. The worker's is 3."""
    max_file_bytes: int = 64_000_000
    """Of one file of bulk lines."""
    max_tenant_file_bytes: int = 1_000_000_000
    """Of all files of a tenant."""
    upload_timeout_s: float = 300.0
    """Longest time for a file to arrive."""
    max_batch_lines: int = 50_000
    bulk_lines_at_once: int = 16
    """Lines that the worker has under way."""
    bulk_keep_days: float = 30.0
    """How long files and batches are kept."""
    min_tokens: int = 8
    max_tokens: int = 512
    """Most that a request may ask for as its token limit; the engine's own limit holds as well."""

    @property
    def keys_needed(self) -> bool:
        """Whoever can reach another address than loopback is a stranger."""
        return self.require_key or not _is_loopback(self.host)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def _bucket_sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted(int(part) for part in text.split(",") if part.strip()))
    if sizes and sizes[0] <= 0:
        raise ValueError
    return sizes


_CONVERTERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": _flag,
    "tuple[int, ...]": _bucket_sizes,
}


_WANTED = {"tuple[int, ...]": "numbers with commas between them are", "bool": "true or false is"}


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environment` (the process's own by default); a bad value fails by its variable's name."""
    variables = os.environ if environment is None else environment
    chosen: dict[str, object] = {}
    for one in fields(Settings):
        name = PREFIX + one.name.upper()
        if name not in variables:
            continue
        kind = str(one.type)
        try:
            value = _CONVERTERS[kind](variables[name])
        except (ValueError, KeyError):
            wanted = _WANTED.get(kind, "a number is")
            raise SettingsError(f"{name} is {variables[name]!r}, {wanted} needed") from None
        if value == "":
            # An empty address would mean every interface of the machine.
            raise SettingsError(f"{name} is empty; give a value or leave it out")
        least = 0 if one.name in MAY_BE_ZERO or one.default == 0 else 1e-9
        if isinstance(value, int | float) and not isinstance(value, bool) and value < least:
            raise SettingsError(f"{name} is {value}, {'0 or more' if least == 0 else 'more than 0'} is needed")
        chosen[one.name] = value
    return Settings(**chosen)  # type: ignore[arg-type]
