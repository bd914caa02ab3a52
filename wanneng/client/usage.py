"""What was used, by day: `client.usage` and `client.tenants.usage`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

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


@dataclass(frozen=True, slots=True)
class TotalUsage:
    """The sum of days of usage; without a price `cost`, `price_per_million_tokens` and `currency` are None."""

    requests: int
    pairs_computed: int
    pairs_cached: int
    tokens: int
    cost: Decimal | None
    """Of the tokens, at today's price."""
    price_per_million_tokens: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class UsageOfLabelSet:
    """What was answered with a label set, which may be deleted by now."""

    label_set: str
    requests: int
    pairs_computed: int
    pairs_cached: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Usage:
    days: Sequence[DayOfUsage]
    total: TotalUsage
    label_sets: Sequence[UsageOfLabelSet]
    """Sums of the days, those with the most computed pairs first; at most 100."""


def usage_request(path: str, first: date | None, last: date | None, label_set: str | None) -> Request[Usage]:
    """Both days belong to it; the gateway's default is the last 30 days. `label_set`: with this one alone."""
    bounds = {"from": first, "to": last}
    params = {name: day.isoformat() for name, day in bounds.items() if day is not None}
    params |= {} if label_set is None else {"label_set": label_set}
    return Request("GET", path, _parsed, {"params": params}, changes=False)


def _parsed(response: httpx.Response) -> Usage:
    answer = json_object(response)
    days = [DayOfUsage(date.fromisoformat(day["day"]), *_counts(day)) for day in answer["days"]]
    total = answer["total"]
    cost, price = (_decimal(total[name]) for name in ("cost", "price_per_million_tokens"))
    label_sets = [UsageOfLabelSet(item["label_set"], *_counts(item)) for item in answer["label_sets"]]
    return Usage(days, TotalUsage(*_counts(total), cost, price, total["currency"]), label_sets)


def _counts(item: dict[str, Any]) -> tuple[int, int, int, int]:
    return item["requests"], item["pairs_computed"], item["pairs_cached"], item["tokens"]


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
