"""Who the key belongs to: `client.me`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from wanneng.client.transport import Request, json_object

PATH = "/v1/me"


@dataclass(frozen=True, slots=True)
class Me:
    """The tenant of the key, and what the key allows."""

    tenant_id: str
    tenant_name: str
    key_id: str | None
    """None: the caller needs no key, or has signed in."""
    subject: str | None
    """The person who has signed in to the console; None: a key, or nobody."""
    scopes: Sequence[str]


def me_request() -> Request[Me]:
    return Request("GET", PATH, _me, changes=False)


def _me(response: httpx.Response) -> Me:
    answer = json_object(response)
    return Me(
        answer["tenant_id"], answer["tenant_name"], answer["key_id"], answer["subject"], tuple(answer["scopes"])
    )
