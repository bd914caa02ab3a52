"""The contract of label sets: the same for dictionaries, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from stores.correction import Correction
from stores.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed
from stores.evaluation import Evaluation
from stores.factory import Stores
from stores.label_sets import LabelSet, LabelSetBounds, LabelSetContent, SetLabel
from stores.paging import MAX_PAGE_BYTES, Page, PageRequest

pytestmark = pytest.mark.usefixtures("tenants")
CONTENT = LabelSetContent(
    (SetLabel("投诉", "用户在投诉"), SetLabel("咨询")),
    "这是关于{}的",
    multi_label=True,
    max_tokens=64,
    threshold=0.5,
    special_tokens="text",
    correction=Correction((0.5, -0.5), 2.0),
)
ALL = PageRequest(100)
BOUNDS = LabelSetBounds(max_sets=100, max_names=100, max_versions=100, max_bytes=10_000_000)
FIRST = LabelSet("t_1", "tickets", 1, CONTENT, datetime(2030, 1, 1, tzinfo=UTC))


async def test_a_version_comes_back_as_it_was_kept(stores: Stores) -> None:
    await stores.label_sets.add(FIRST, 0, BOUNDS)
    assert await stores.label_sets.get("t_1", "tickets", 1) == FIRST
    assert await stores.label_sets.latest("t_1", "tickets") == (1, True)
    assert await stores.label_sets.get("t_1", "tickets", 2) is None
    assert await stores.label_sets.get("t_2", "tickets", 1) is None
    assert await stores.label_sets.latest("t_2", "tickets") == (0, False)


async def test_the_numbers_of_a_version_come_back_and_count_as_its_bytes(stores: Stores) -> None:
    numbers = Evaluation(evaluated_at=FIRST.created_at, texts=9, labelled=8, correct=7, model_version="e" * 200)
    evaluated = replace(FIRST, evaluation=numbers)
    await stores.label_sets.add(evaluated, 0, BOUNDS)
    assert await stores.label_sets.get("t_1", "tickets", 1) == evaluated
    assert (await stores.label_sets.page("t_1", ALL)).items == [evaluated]
    size = len(msgspec.json.encode(CONTENT))
    with pytest.raises(Conflict, match="bytes"):
        await stores.label_sets.add(replace(FIRST, version=2), 1, replace(BOUNDS, max_bytes=2 * size + 200))
    await stores.label_sets.add(replace(FIRST, name="plain"), 0, replace(BOUNDS, max_bytes=2 * size + 500))


async def test_the_newest_of_each_set_and_all_of_one(stores: Stores) -> None:
    second, mood = replace(FIRST, version=2), replace(FIRST, name="mood")
    await stores.label_sets.add(FIRST, 0, BOUNDS)
    await stores.label_sets.add(second, 1, BOUNDS)
    await stores.label_sets.add(mood, 0, BOUNDS)
    await stores.label_sets.add(replace(FIRST, tenant_id="t_2"), 0, BOUNDS)
    assert await stores.label_sets.page("t_1", ALL) == Page([mood, second], has_more=False)
    assert await stores.label_sets.page("t_1", ALL, "tickets") == Page([second, FIRST], has_more=False)


async def test_of_many_writers_at_once_one_wins(stores: Stores) -> None:
    for latest in (0, 1):
        version = replace(FIRST, version=latest + 1)
        done = await asyncio.gather(
            *(stores.label_sets.add(version, latest, BOUNDS) for _ in range(8)), return_exceptions=True
        )
        assert done.count([]) == 1
        assert sum(isinstance(error, PreconditionFailed) for error in done) == 7
    assert len((await stores.label_sets.page("t_1", ALL, "tickets")).items) == 2


async def test_a_deleted_set_is_gone_and_its_numbers_never_come_again(stores: Stores) -> None:
    await stores.label_sets.add(FIRST, 0, BOUNDS)
    await stores.label_sets.remove("t_1", "tickets")
    assert await stores.label_sets.get("t_1", "tickets", 1) is None
    assert await stores.label_sets.latest("t_1", "tickets") == (1, False)
    assert (await stores.label_sets.page("t_1", ALL)).items == []
    with pytest.raises(NotFound):
        await stores.label_sets.remove("t_1", "tickets")
    with pytest.raises(PreconditionFailed):
        await stores.label_sets.add(FIRST, 0, BOUNDS)
    await stores.label_sets.add(replace(FIRST, version=2), 1, BOUNDS)
    assert await stores.label_sets.latest("t_1", "tickets") == (2, True)


async def test_a_removed_tenant_takes_its_sets_along(stores: Stores) -> None:
    await stores.label_sets.add(FIRST, 0, BOUNDS)
    await stores.tenants.remove("t_1")
    assert await stores.label_sets.latest("t_1", "tickets") == (0, False)
    assert await stores.label_sets.get("t_1", "tickets", 1) is None


async def test_a_set_of_a_removed_tenant_is_not_found_rather_than_in_conflict(stores: Stores) -> None:
    with pytest.raises(NotFound, match="tenant"):
        await stores.label_sets.add(replace(FIRST, tenant_id="t_9"), 0, BOUNDS)


async def test_sets_come_in_pages_by_name(stores: Stores) -> None:
    sets = [replace(FIRST, name=name) for name in ("0", "a", "a-b", "a_b", "ab", "b")]
    for label_set in sets[::-1]:
        await stores.label_sets.add(label_set, 0, BOUNDS)
    assert await stores.label_sets.page("t_1", PageRequest(2)) == Page(sorted_by_name(sets)[:2], has_more=True)
    second = await stores.label_sets.page("t_1", PageRequest(2, sorted_by_name(sets)[1].name))
    assert second == Page(sorted_by_name(sets)[2:4], has_more=True)
    await stores.label_sets.remove("t_1", second.items[-1].name)
    third = await stores.label_sets.page("t_1", PageRequest(2, second.items[-1].name))
    assert third == Page(sorted_by_name(sets)[4:], has_more=False), "what was deleted meanwhile ends no list"


def sorted_by_name(sets: Sequence[LabelSet]) -> list[LabelSet]:
    return sorted(sets, key=lambda label_set: label_set.name)


async def test_versions_come_in_pages_newest_first(stores: Stores) -> None:
    for latest in range(5):
        await stores.label_sets.add(replace(FIRST, version=latest + 1), latest, BOUNDS)
    for after, numbers, more in ((None, [5, 4], True), ("4", [3, 2], True), ("2", [1], False), ("1", [], False)):
        page = await stores.label_sets.page("t_1", PageRequest(2, after), "tickets")
        assert ([version.version for version in page.items], page.has_more) == (numbers, more)
    for after in ("x", "0", "-1", "1.0", "9" * 30):
        with pytest.raises(InvalidRequest, match="after"):
            await stores.label_sets.page("t_1", PageRequest(2, after), "tickets")


async def test_a_page_ends_where_its_contents_become_large(stores: Stores) -> None:
    large = replace(CONTENT, labels=(SetLabel("x" * (2 * MAX_PAGE_BYTES // 5)),))
    huge = replace(CONTENT, labels=(SetLabel("x" * 2 * MAX_PAGE_BYTES),))
    for name, content in (("a", large), ("b", large), ("c", large), ("d", huge), ("e", CONTENT)):
        await stores.label_sets.add(replace(FIRST, name=name, content=content), 0, BOUNDS)
    pages, after = [], None
    while True:
        page = await stores.label_sets.page("t_1", PageRequest(100, after))
        pages.append([label_set.name for label_set in page.items])
        if not page.has_more:
            break
        after = page.items[-1].name
    assert pages == [["a", "b"], ["c"], ["d"], ["e"]]


async def test_the_oldest_version_makes_room_for_a_new_one(stores: Stores) -> None:
    bounds = replace(BOUNDS, max_versions=3)
    removed = [
        await stores.label_sets.add(replace(FIRST, version=latest + 1), latest, bounds) for latest in range(5)
    ]
    assert removed == [[], [], [], [1], [2]]
    assert [version.version for version in (await stores.label_sets.page("t_1", ALL, "tickets")).items] == [
        5,
        4,
        3,
    ]
    assert await stores.label_sets.get("t_1", "tickets", 2) is None
    lower = replace(BOUNDS, max_versions=1)
    assert await stores.label_sets.add(replace(FIRST, version=6), 5, lower) == [3, 4, 5]


async def test_of_many_sets_at_once_as_many_are_kept_as_are_allowed(stores: Stores) -> None:
    bounds = replace(BOUNDS, max_sets=3)
    sets = [replace(FIRST, name=f"set-{number}") for number in range(8)]
    made = await asyncio.gather(*(stores.label_sets.add(s, 0, bounds) for s in sets), return_exceptions=True)
    assert made.count([]) == 3
    assert sum(isinstance(error, Conflict) for error in made) == 5
    listed = (await stores.label_sets.page("t_1", ALL)).items
    assert len(listed) == 3
    await stores.label_sets.remove("t_1", listed[0].name)
    (left,) = [label_set for label_set in sets if label_set.name not in {known.name for known in listed}][:1]
    await stores.label_sets.add(left, 0, bounds)
    with pytest.raises(Conflict, match="has 3 label sets"):
        await stores.label_sets.add(replace(listed[0], version=2), 1, bounds)


async def test_names_of_deleted_sets_are_bounded_too(stores: Stores) -> None:
    bounds = replace(BOUNDS, max_names=2)
    for name in ("a", "b"):
        await stores.label_sets.add(replace(FIRST, name=name), 0, bounds)
        await stores.label_sets.remove("t_1", name)
    with pytest.raises(Conflict, match="used 2 names"):
        await stores.label_sets.add(replace(FIRST, name="c"), 0, bounds)
    await stores.label_sets.add(replace(FIRST, name="a", version=2), 1, bounds)


async def test_versions_at_once_never_have_more_bytes_than_allowed(stores: Stores) -> None:
    large = replace(CONTENT, labels=(SetLabel("x" * 10_000),))
    bounds = replace(BOUNDS, max_bytes=35_000)
    sets = [replace(FIRST, name=f"set-{number}", content=large) for number in range(8)]
    made = await asyncio.gather(*(stores.label_sets.add(s, 0, bounds) for s in sets), return_exceptions=True)
    assert made.count([]) == 3
    kept = (await stores.label_sets.page("t_1", ALL)).items
    with pytest.raises(Conflict, match="more than 35000 bytes"):
        await stores.label_sets.add(replace(kept[0], version=2), 1, bounds)
    # What makes room does not count, and what was refused has removed nothing.
    assert await stores.label_sets.get("t_1", kept[0].name, 1) == kept[0]
    one = replace(bounds, max_versions=1)
    assert await stores.label_sets.add(replace(kept[0], version=2), 1, one) == [1]
    await stores.label_sets.add(replace(kept[0], tenant_id="t_2"), 0, bounds)
