"""What was used, by day: `client.usage` and `client.tenants.usage`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import httpx

from wanneng.client.transport import Request, json_object

PATH = "/v1/usage"


@dataclass(frozen=True, slots=True)
class DayOfUsage:
    """The answers of one day (UTC) and their pairs."""

    day: date
    requests: int
    pairs_computed: int
    pairs_cached: int
    tokens: int
    """Of the computed pairs."""


def usage_request(path: str, first: date | None, last: date | None) -> Request[Sequence[DayOfUsage]]:
    """Both days belong to it; the gateway's default is the last 30 days."""
    bounds = {"from": first, "to": last}
    params = {name: day.isoformat() for name, day in bounds.items() if day is not None}
    return Request("GET", path, _parsed, {"params": params}, changes=False)


def _parsed(response: httpx.Response) -> Sequence[DayOfUsage]:
    return [
        DayOfUsage(
            date.fromisoformat(day["day"]),
            day["requests"],
            day["pairs_computed"],
            day["pairs_cached"],
            day["tokens"],
        )
        for day in json_object(response)["days"]
    ]
