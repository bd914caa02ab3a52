"""The contract of label sets: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from stores.errors import NotFound, PreconditionFailed
from stores.factory import Stores
from stores.label_sets import LabelSet, LabelSetContent, SetLabel

pytestmark = pytest.mark.usefixtures("tenants")
CONTENT = LabelSetContent(
    (SetLabel("投诉", "用户在投诉"), SetLabel("咨询")),
    "这是关于{}的",
    multi_label=True,
    max_tokens=64,
    threshold=0.5,
)
FIRST = LabelSet("t_1", "tickets", 1, CONTENT, datetime(2030, 1, 1, tzinfo=UTC))


async def test_a_version_comes_back_as_it_was_kept(stores: Stores) -> None:
    await stores.label_sets.add(FIRST, 0)
    assert await stores.label_sets.get("t_1", "tickets", 1) == FIRST
    assert await stores.label_sets.latest("t_1", "tickets") == (1, True)
    assert await stores.label_sets.get("t_1", "tickets", 2) is None
    assert await stores.label_sets.get("t_2", "tickets", 1) is None
    assert await stores.label_sets.latest("t_2", "tickets") == (0, False)


async def test_the_newest_of_each_set_and_all_of_one(stores: Stores) -> None:
    second, mood = replace(FIRST, version=2), replace(FIRST, name="mood")
    await stores.label_sets.add(FIRST, 0)
    await stores.label_sets.add(second, 1)
    await stores.label_sets.add(mood, 0)
    await stores.label_sets.add(replace(FIRST, tenant_id="t_2"), 0)
    assert list(await stores.label_sets.all("t_1")) == [mood, second]
    assert list(await stores.label_sets.all("t_1", "tickets")) == [second, FIRST]


async def test_of_many_writers_at_once_one_wins(stores: Stores) -> None:
    for latest in (0, 1):
        version = replace(FIRST, version=latest + 1)
        done = await asyncio.gather(
            *(stores.label_sets.add(version, latest) for _ in range(8)), return_exceptions=True
        )
        assert done.count(None) == 1
        assert sum(isinstance(error, PreconditionFailed) for error in done) == 7
    assert len(await stores.label_sets.all("t_1", "tickets")) == 2


async def test_a_deleted_set_is_gone_and_its_numbers_never_come_again(stores: Stores) -> None:
    await stores.label_sets.add(FIRST, 0)
    await stores.label_sets.remove("t_1", "tickets")
    assert await stores.label_sets.get("t_1", "tickets", 1) is None
    assert await stores.label_sets.latest("t_1", "tickets") == (1, False)
    assert list(await stores.label_sets.all("t_1")) == []
    with pytest.raises(NotFound):
        await stores.label_sets.remove("t_1", "tickets")
    with pytest.raises(PreconditionFailed):
        await stores.label_sets.add(FIRST, 0)
    await stores.label_sets.add(replace(FIRST, version=2), 1)
    assert await stores.label_sets.latest("t_1", "tickets") == (2, True)


async def test_a_removed_tenant_takes_its_sets_along(stores: Stores) -> None:
    await stores.label_sets.add(FIRST, 0)
    await stores.tenants.remove("t_1")
    assert await stores.label_sets.latest("t_1", "tickets") == (0, False)
    assert await stores.label_sets.get("t_1", "tickets", 1) is None


async def test_a_set_of_a_removed_tenant_is_not_found_rather_than_in_conflict(stores: Stores) -> None:
    with pytest.raises(NotFound, match="tenant"):
        await stores.label_sets.add(replace(FIRST, tenant_id="t_9"), 0)
