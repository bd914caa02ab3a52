"""The settings of the gateway."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, structs

from web.settings import (
    AmountOrNone,
    Count,
    CountOrNone,
    Port,
    PortOrNone,
    Seconds,
    ServerSettings,
    SettingsError,
    Text,
    is_loopback,
)

Share = Annotated[float, Meta(ge=0, le=1)]
RootPath = Annotated[str, Meta(pattern="^(/[A-Za-z0-9._~-]+)+$")]


class Settings(ServerSettings, frozen=True, kw_only=True, cache_hash=True):
    """Each field is the variable `WANNENG_<FIELD>`."""

    host: Text = "127.0.0.1"
    """Address of the gateway; on any other than loopback, callers need a key."""
    port: Port = 8080
    """Port of the gateway."""
    workers: Count = 1
    """Processes that serve this address. Each has a cache, a queue, connections and, without Redis, quotas of its
    own; `/metrics` returns the series of all, with the label `worker`. The chart sets it by the CPU request."""
    root_path: RootPath = ""
    """Path under which a proxy serves the gateway, such as `/nlp`, whether or not the proxy removes it; unset:
    `/`."""
    internal_port: PortOrNone = 0
    """Port for `/metrics`, `/v1/tenants` and `/v1/admin`, which then no other serves; 0: one port for all."""
    triton_url: Text = "http://127.0.0.1:8000"
    """Triton's address: one URL, several separated by commas, or `dns+http://name:8000` for every address of a
    name; `#pool=a100&weight=3` after one names its pool and gives it three times the work, `&share=0.1` lets this
    pool's own model answer a tenth of the requests. Set by `wanneng serve`."""
    tenants_file: str = ""
    """YAML file of tenants and label sets in place of the database; read only, and read again when it changes."""
    control_plane_url: str = ""
    """Address to which requests for tenants, keys, label sets, usage, files, batches and the page are forwarded;
    unset: they are answered with 501. Set by `wanneng serve`."""
    same_user: bool = False
    """Connect to Triton and the control plane on loopback only where the same user or root listens. Set by
    `wanneng serve`."""
    max_forwarded_requests: Count = 64
    """Requests forwarded to the control plane at a time, half of them at most for one tenant or one
    address without a key; others are refused at once."""
    forward_timeout_s: Seconds = 310.0
    """Longest time for a forwarded request, an upload included."""
    max_auth_failures_per_s: AmountOrNone = 10.0
    """Failed authentications of one address a second, and five times as many at once; 0: unlimited, for a gateway
    behind a proxy."""
    requests_per_minute: CountOrNone = 0
    """Default quota of requests; 0: unlimited."""
    pairs_per_minute: CountOrNone = 0
    """Default quota of pairs; 0: unlimited."""
    tokens_per_minute: CountOrNone = 0
    """Default quota of tokens of computed pairs; 0: unlimited."""
    tenant_pairs_in_flight: CountOrNone = 0
    """Default bound on a tenant's pairs in flight; 0: its fair share of all."""
    cached_pair_cost: AmountOrNone = 0.0
    """What a cached pair takes from the quota of pairs; a computed one takes 1."""
    deadline_s: Seconds = 10.0
    """Longest time from a request's body to its answer; a Triton that is silent for 30% of it counts as lost."""
    max_texts: Count = 64
    """Texts of one request; pairs of `/predict` and texts of `/rerank`."""
    max_text_characters: Count = 100_000
    """Characters of one text."""
    max_pairs: Count = 2_048
    """Pairs of one request: texts times labels."""
    max_tokens_in_flight: Count = 131_072
    """Tokens of all requests, queued and at Triton; one tenant alone may hold half. A pair counts as at
    least 16."""
    max_queue_delay_s: Seconds = 1.0
    """Longest time that a request may be expected to queue, at the present throughput; others are refused."""
    tokens_per_replica: Count = 4_096
    """Tokens at one replica of Triton at a time, twice as many with length buckets; the others queue in the
    gateway, fairly between tenants."""
    max_pairs_per_call: Count = 64
    """Pairs of one call to Triton; at most the engine's `max_batch_size`."""
    max_tokens_per_call: Count = 2_048
    """Tokens of one call to Triton; longer texts go in more calls, so that nobody waits for all of them."""
    max_calls_per_request: Count = 8
    """Calls to Triton that one request has under way."""
    comparison_sample: Share = 0.01
    """While a pool has a share of the requests: share of the requests whose first text the other model answers
    too, at low priority and one at a time, to compare the best labels."""
    length_buckets: tuple[Count, ...] = ()
    """Length buckets that Triton serves, in tokens, as `32,64,128`; unset: one model takes every length.
    Set by `wanneng serve`."""
    cache_bytes: CountOrNone = 64_000_000
    """Memory of the pair cache of this process, of which each tenant has a share; whole answers take at most an
    eighth more. 0: no cache."""
    cache_ttl_s: Seconds = 3_600.0
    """How long a pair stays in the cache."""
    redis_url: str = ""
    """Redis or Valkey through which several gateways share cached pairs and quotas; unset: each has its own.
    They need the same `WANNENG_INTERNAL_KEY`, which signs the pairs."""
    redis_timeout_s: Seconds = 0.05
    """Longest wait for Redis; then the gateway goes on without it."""

    def __post_init__(self) -> None:
        structs.force_setattr(self, "length_buckets", tuple(sorted(self.length_buckets)))
        if self.redis_url and not self.internal_key:
            raise SettingsError(
                "WANNENG_REDIS_URL needs WANNENG_INTERNAL_KEY, which signs the pairs in Redis: give all gateways "
                "that share it the same secret of at least 32 characters"
            )

    @property
    def keys_needed(self) -> bool:
        """Whoever reaches another address than loopback is a stranger."""
        return self.require_key or not is_loopback(self.host)
