"""Budgets: the operator sets them; a tenant reads its own and its key's, and what is used of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.responses import Response

from control_plane.api.changes import notifying
from control_plane.api.schema import BudgetAnswer, CallersBudgets
from control_plane.tenants import Tenants
from control_plane.usage import UsageReports
from stores.budgets import Budget
from stores.tenants import READ_USAGE
from web.operations import OPERATOR, Call, Operation
from web.responses import json_response

OF_TENANT, OF_KEY = "/v1/tenants/{tenant_id}/budget", "/v1/tenants/{tenant_id}/keys/{key_id}/budget"


class BudgetEndpoints:
    """`on_change` is called after each write: what is known of this tenant and its keys is stale."""

    def __init__(self, tenants: Tenants, reports: UsageReports, on_change: Callable[[str], None]) -> None:
        self._tenants = tenants
        self._reports = reports
        self._on_change = on_change

    def operations(self) -> Sequence[Operation]:
        own = Operation(
            "GET",
            "/v1/budget",
            self.own,
            "Get the budgets of the tenant and of the key, and what is used of them",
            READ_USAGE,
            answers=(CallersBudgets,),
            id="getBudgets",
        )
        of_others = [self._operations(*of) for of in ((OF_TENANT, "tenant", "Tenant"), (OF_KEY, "key", "Key"))]
        return [own, *of_others[0], *of_others[1]]

    def _operations(self, path: str, owner: str, name: str) -> Sequence[Operation]:
        reading = Operation(
            "GET",
            path,
            self.get,
            f"Get a {owner}'s budget, and what is used of it",
            OPERATOR,
            answers=(BudgetAnswer,),
            id=f"get{name}Budget",
        )
        setting = Operation(
            "PUT",
            path,
            self.put,
            f"Set a {owner}'s budget of a calendar month",
            OPERATOR,
            Budget,
            body_optional=True,
            answers=(BudgetAnswer,),
            example={"tokens_per_month": 50_000_000, "enforcement": "soft"},
            id=f"set{name}Budget",
        )
        return [reading, notifying(setting, self._on_change)]

    async def own(self, call: Call) -> Response:
        key_id = call.caller.key_id
        tenant = await self._answer(call.tenant_id, "")
        return json_response(
            CallersBudgets(tenant, await self._answer(call.tenant_id, key_id) if key_id else None)
        )

    async def get(self, call: Call) -> Response:
        return json_response(await self._answer(call.path("tenant_id"), _key_id(call)))

    async def put(self, call: Call) -> Response:
        await self._tenants.set_budget(call.path("tenant_id"), call.body, _key_id(call))
        return await self.get(call)

    async def _answer(self, tenant_id: str, key_id: str) -> BudgetAnswer:
        budget = await self._tenants.budget(tenant_id, key_id)
        used, renewed_at = await self._reports.this_month(tenant_id, key_id)
        return BudgetAnswer(
            key_id or None,
            budget.pairs_per_month,
            budget.tokens_per_month,
            budget.enforcement,
            used.pairs,
            used.tokens,
            renewed_at,
        )


def _key_id(call: Call) -> str:
    """Empty where the path names a tenant alone."""
    key_id: str = call.request.path_params.get("key_id", "")
    return key_id
