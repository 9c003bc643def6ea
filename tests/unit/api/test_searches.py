"""Searches of the log: so many at once, and of one caller, that others find a place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from activityctl.api.log_streams.searches import Searches
from activityctl.api.refusals import BusyError
from activityctl.domain.values.log import LogFilter

ALL = LogFilter(("s",), "r")
SEARCH = LogFilter(("s",), text="x")


def test_a_filter_that_selects_is_a_search():
    assert not ALL.is_search
    assert SEARCH.is_search
    assert LogFilter(("s",), level="error").is_search


async def test_one_caller_leaves_places_to_others_and_gets_its_own_back():
    searches = Searches(most=3, of_one=2, seconds=0.01)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(searches.place(SEARCH, "a"))
        with pytest.raises(BusyError) as refused:
            await held.enter_async_context(searches.place(SEARCH, "a"))
        assert refused.value.retry_after
        await held.enter_async_context(searches.place(SEARCH, "b"))
        with pytest.raises(BusyError):
            await held.enter_async_context(searches.place(SEARCH, "c"))
        async with searches.place(ALL, "a"):
            pass
    for _ in range(2):
        async with searches.place(SEARCH, "a"), searches.place(SEARCH, "a"):
            pass


async def test_a_search_waits_for_its_place():
    searches = Searches(most=1, seconds=60)
    async with searches.place(SEARCH, "a"):
        waiting = asyncio.ensure_future(anext(aiter_of(searches)))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == "found"


async def aiter_of(searches: Searches) -> AsyncIterator[str]:
    async with searches.place(SEARCH, "b"):
        yield "found"
