"""Label sets: what a tenant may do with its own; another tenant's do not exist."""

from __future__ import annotations

from collections.abc import Sequence

from stores.clock import Clock
from stores.errors import InvalidRequest, NotFound, PreconditionFailed
from stores.label_sets import (
    NAME,
    LabelLimits,
    LabelSet,
    LabelSetContent,
    LabelSetStore,
    find_label_set,
    validate_content,
)

MAX_SETS = 1_000
"""Label sets of one tenant."""


class LabelSets:
    def __init__(self, store: LabelSetStore, clock: Clock, limits: LabelLimits) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    async def put(self, tenant_id: str, name: str, content: LabelSetContent, expected: int | None) -> LabelSet:
        """A new version; `expected` is the version that the writer has read, None for a set that does not exist.

        `PreconditionFailed` when that is not the newest: two writers cannot overwrite each other unseen.
        """
        if not NAME.fullmatch(name):
            raise InvalidRequest("must have 1 to 63 of a-z, 0-9, _ and -, and not begin with _ or -", field="name")
        validate_content(content, self._limits)
        latest, exists = await self._store.latest(tenant_id, name)
        if (latest if exists else None) != expected:
            raise PreconditionFailed(
                f"the newest version is {latest}; send it as If-Match" if exists else "no such label set"
            )
        if latest == 0 and len(await self._store.all(tenant_id)) >= MAX_SETS:
            raise InvalidRequest(f"the tenant has {MAX_SETS} label sets; delete one first", field="name")
        label_set = LabelSet(tenant_id, name, latest + 1, content, self._clock.now())
        await self._store.add(label_set, latest)
        return label_set

    async def roll_back(self, tenant_id: str, name: str, version: int, expected: int | None) -> LabelSet:
        """The content of `version` as the newest version."""
        old = await self.get(tenant_id, f"{name}@{version}")
        return await self.put(tenant_id, name, old.content, expected)

    async def get(self, tenant_id: str, reference: str) -> LabelSet:
        """`name` is the newest version, `name@3` that one."""
        label_set = await find_label_set(self._store, tenant_id, reference)
        if label_set is None:
            raise NotFound("no such label set")
        return label_set

    async def all(self, tenant_id: str) -> Sequence[LabelSet]:
        return await self._store.all(tenant_id)

    async def versions(self, tenant_id: str, name: str) -> Sequence[LabelSet]:
        versions = await self._store.all(tenant_id, name)
        if not versions:
            raise NotFound("no such label set")
        return versions

    async def remove(self, tenant_id: str, name: str) -> None:
        await self._store.remove(tenant_id, name)
