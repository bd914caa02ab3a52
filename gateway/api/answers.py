"""Structs become JSON responses. Knows no status but the one it is given."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from gateway.facts import Facts
from gateway.quotas import WINDOW_S


def json_answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def quota_headers(facts: Facts) -> dict[str, str]:
    """What is left of the tenant's pairs, as draft-ietf-httpapi-ratelimit-headers-10 has it; none if unbounded."""
    standing = facts.quota
    if standing is None:
        return {}
    return {
        "RateLimit-Policy": f'"pairs";q={standing.quota};w={WINDOW_S:.0f}',
        "RateLimit": f'"pairs";r={standing.left};t={standing.full_in_s}',
    }
