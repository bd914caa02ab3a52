"""Usage by day: a tenant's own, and any tenant's for the operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.schema import LabelSetUsageAnswer, UsageAnswer, UsageDay, UsageTotal
from control_plane.usage import UsageReports
from stores.errors import InvalidRequest
from stores.label_sets import NAME
from stores.tenants import READ_USAGE
from web.openapi import query
from web.operations import OPERATOR, Call, Operation
from web.responses import json_response

PARAMETERS = (
    query("from", "First day; 29 days before the last by default.", format="date"),
    query("to", "Last day; today by default.", format="date"),
    query("label_set", "Name of a label set: only what was answered with it.", pattern=NAME.pattern),
)


class UsageEndpoints:
    def __init__(self, reports: UsageReports) -> None:
        self._reports = reports

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                "/v1/usage",
                self.own,
                "Get usage by day",
                READ_USAGE,
                answers=(UsageAnswer,),
                parameters=PARAMETERS,
                id="getUsage",
            ),
            Operation(
                "GET",
                "/v1/tenants/{tenant_id}/usage",
                self.of_tenant,
                "Get a tenant's usage by day",
                OPERATOR,
                answers=(UsageAnswer,),
                parameters=PARAMETERS,
                id="getTenantUsage",
            ),
        ]

    async def own(self, call: Call) -> Response:
        return await self._answer(call.request, call.tenant_id)

    async def of_tenant(self, call: Call) -> Response:
        return await self._answer(call.request, call.path("tenant_id"))

    async def _answer(self, request: Request, tenant_id: str) -> Response:
        first, last, label_set = _day(request, "from"), _day(request, "to"), _label_set(request)
        usage = await self._reports.of(tenant_id, first, last, label_set)
        by_set = await self._reports.by_label_set(tenant_id, first, last, label_set)
        days = [
            UsageDay(daily.day, daily.requests, daily.pairs_computed, daily.pairs_cached, daily.tokens)
            for daily in usage
        ]
        label_sets = [
            LabelSetUsageAnswer(used.label_set, used.requests, used.pairs_computed, used.pairs_cached, used.tokens)
            for used in by_set
        ]
        return json_response(UsageAnswer(days, self._total(days), label_sets))

    def _total(self, days: Sequence[UsageDay]) -> UsageTotal:
        tokens, price = sum(day.tokens for day in days), self._reports.price
        return UsageTotal(
            sum(day.requests for day in days),
            sum(day.pairs_computed for day in days),
            sum(day.pairs_cached for day in days),
            tokens,
            None if price is None else _decimal(price.cost(tokens)),
            None if price is None else _decimal(price.per_million_tokens),
            None if price is None else price.currency,
        )


def _decimal(number: Decimal) -> str:
    """All of its digits, without an exponent."""
    return f"{number.normalize():f}"


def _label_set(request: Request) -> str:
    name = request.query_params.get("label_set", "")
    if "label_set" in request.query_params and not NAME.fullmatch(name):
        raise InvalidRequest("must be the name of a label set, such as tickets", field="label_set")
    return name


def _day(request: Request, parameter: str) -> date | None:
    text = request.query_params.get(parameter)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest("must be a day such as 2030-01-31", field=parameter) from None
