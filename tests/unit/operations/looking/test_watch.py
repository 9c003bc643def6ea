"""Watching a list: only what is new, changed or gone is told, also after an outage."""

from collections.abc import Iterator
from typing import Any

import pytest

from activityctl.errors import UnreachableError
from activityctl.operations.looking.get import Page
from activityctl.operations.looking.watch import ListChange, compare, watch


def by_id(*pairs: tuple[str, int]) -> dict[str, Any]:
    return {key: {"id": key, "n": number} for key, number in pairs}


def test_new_changed_and_gone_objects_are_told():
    change = compare(by_id(("a", 1), ("b", 1)), by_id(("c", 1), ("b", 2)), is_cut=False)
    assert [view["id"] for view in change.views] == ["c", "b"]
    assert change.gone == ("a",)
    assert compare(by_id(("a", 1)), by_id(("a", 1)), is_cut=False) == ListChange(())


def test_nothing_is_said_to_have_left_a_list_that_is_cut():
    assert compare(by_id(("a", 1)), by_id(("b", 1)), is_cut=True).gone == ()


async def test_an_outage_is_told_once_and_nothing_is_repeated():
    lost = UnreachableError("Postgres does not answer")
    pages: Iterator[Page | UnreachableError] = iter(
        [
            Page(list(by_id(("a", 1)).values()), has_more=False),
            lost,
            lost,
            Page(list(by_id(("a", 1)).values()), has_more=False),
            Page(list(by_id(("a", 2)).values()), has_more=False),
        ]
    )
    outages: list[UnreachableError | None] = []

    async def read() -> Page:
        found = next(pages)
        if isinstance(found, UnreachableError):
            raise found
        return found

    watched = watch(read, lambda view: str(view["id"]), interval=0, on_outage=outages.append)
    assert [view["n"] for view in (await anext(watched)).views] == [1]
    assert [view["n"] for view in (await anext(watched)).views] == [2]
    assert outages == [lost, None]
    await watched.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_database_that_never_answered_is_an_error():
    async def read() -> Page:
        raise UnreachableError("no daemon")

    with pytest.raises(UnreachableError):
        await anext(watch(read, lambda view: str(view["id"])))
