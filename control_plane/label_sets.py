"""Label sets: what a tenant may do with its own; another tenant's do not exist."""

from __future__ import annotations

from collections.abc import Sequence

from stores.clock import Clock
from stores.errors import InvalidRequest, PreconditionFailed
from stores.evaluation import Evaluation, validate_evaluation
from stores.label_sets import (
    NAME,
    LabelLimits,
    LabelSet,
    LabelSetBounds,
    LabelSetContent,
    LabelSetStore,
    find_label_set,
    missing,
    validate_content,
)
from stores.paging import Page, PageRequest

MAX_SETS = 1_000
"""Label sets of one tenant."""
MAX_NAMES = 10_000
"""Names of one tenant's label sets, those of deleted ones included."""


class LabelSets:
    def __init__(
        self, store: LabelSetStore, clock: Clock, limits: LabelLimits, *, max_versions: int, max_tenant_bytes: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._bounds = LabelSetBounds(MAX_SETS, MAX_NAMES, max_versions, max_tenant_bytes)

    async def put(
        self,
        tenant_id: str,
        name: str,
        content: LabelSetContent,
        expected: int | None,
        evaluation: Evaluation | None = None,
    ) -> tuple[LabelSet, Sequence[int]]:
        """A new version, and the old ones that were removed to make room for it.

        `expected` is the version that the writer has read, None for one that does not exist. `PreconditionFailed`
        when that is not the newest: two writers cannot overwrite each other unseen.
        """
        if not NAME.fullmatch(name):
            raise InvalidRequest("must have 1 to 63 of a-z, 0-9, _ and -, and not begin with _ or -", field="name")
        validate_content(content, self._limits)
        latest, exists = await self._store.latest(tenant_id, name)
        if (latest if exists else None) != expected:
            raise PreconditionFailed(
                f"the newest version is {latest}; send it as If-Match" if exists else "no such label set"
            )
        if evaluation is not None:
            validate_evaluation(evaluation, latest + 1)
        label_set = LabelSet(tenant_id, name, latest + 1, content, self._clock.now(), evaluation)
        return label_set, await self._store.add(label_set, latest, self._bounds)

    async def roll_back(
        self, tenant_id: str, name: str, version: int, expected: int | None
    ) -> tuple[LabelSet, Sequence[int]]:
        """The content of `version` as the newest version, with the numbers that it had."""
        old = await self.get(tenant_id, f"{name}@{version}")
        return await self.put(tenant_id, name, old.content, expected, old.evaluation)

    async def get(self, tenant_id: str, reference: str) -> LabelSet:
        """`name` is the newest version, `name@3` that one."""
        label_set = await find_label_set(self._store, tenant_id, reference)
        if label_set is None:
            raise missing(reference)
        return label_set

    async def page(self, tenant_id: str, request: PageRequest) -> Page[LabelSet]:
        return await self._store.page(tenant_id, request)

    async def versions(self, tenant_id: str, name: str, request: PageRequest) -> Page[LabelSet]:
        _, exists = await self._store.latest(tenant_id, name)
        if not exists:
            raise missing(name)
        return await self._store.page(tenant_id, request, name)

    async def remove(self, tenant_id: str, name: str) -> None:
        await self._store.remove(tenant_id, name)
