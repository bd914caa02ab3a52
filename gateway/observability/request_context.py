"""The context of a request to the gateway: its pairs, its quota, and what answered it."""

from __future__ import annotations

from gateway.tenancy.quotas import QuotaStatus
from gateway.tenancy.shared_bucket import WINDOW_S
from stores.budgets import BudgetStatus
from stores.tenants import LOCAL_TENANT_ID
from web.authentication import TENANT_HEADER
from web.request_context import RequestContext


class GatewayContext(RequestContext):
    """Filled in by `api/classifications.py`; `key_ignored` by authentication."""

    texts: int = 0
    labels: int = 0
    pairs_computed: int = 0
    pairs_cached: int = 0
    pairs_refused: int = 0
    """Because too many were in flight."""
    truncated_texts: int = 0
    triton_s: float = 0.0
    """Time spent waiting for Triton, summed over the request's calls."""
    turn_s: float = 0.0
    """Time that they waited for their turn before, likewise."""
    replicas: tuple[str, ...] = ()
    """Addresses of the Tritons that answered them; a pair that another request computed has none."""
    quota: QuotaStatus | None = None
    """What is left of the tenant's pairs; None where they are unlimited."""
    budgets: tuple[BudgetStatus, ...] = ()
    """Those that are nearly used up, or are."""
    engine_id: str | None = None
    key_ignored: bool = False
    """Whether an unknown key was given where none is needed; the answer says whose request it was."""

    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """With what is left of the quota of pairs (draft-ietf-httpapi-ratelimit-headers-10), unless unlimited."""
        headers = []
        if self.key_ignored:
            headers.append((TENANT_HEADER.lower().encode(), LOCAL_TENANT_ID.encode()))
        if (quota := self.quota) is not None:
            headers.append((b"ratelimit-policy", b'"pairs";q=%d;w=%d' % (quota.limit, WINDOW_S)))
            headers.append((b"ratelimit", b'"pairs";r=%d;t=%d' % (quota.remaining, quota.full_in_s)))
        if self.budgets:
            headers.append((b"x-wanneng-budget", b", ".join(status.header for status in self.budgets)))
        return headers

    def span_attributes(self) -> dict[str, str | int | None]:
        return super().span_attributes() | {
            "wanneng.pairs_computed": self.pairs_computed,
            "wanneng.pairs_cached": self.pairs_cached,
        }
