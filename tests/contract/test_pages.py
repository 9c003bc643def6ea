"""Lists as people page through them: what is left out is told, and nothing is when all is asked."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.get import KINDS, Kind, ObjectViews, default_limit

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
MakeRun = Callable[..., Awaitable[Run]]
FILLED: tuple[Kind, ...] = ("definitions", "subscriptions", "revisions", "schedules")


@pytest.fixture
async def looker(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe
) -> ObjectViews:
    """Three of each kind of the catalog."""
    names = ("a", "b", "c")
    await apply(*(define(name) for name in names), *(subscribe(name, name) for name in names))
    return ObjectViews(ports.catalog, ports.register, ports.run_lists, ports.events)


@pytest.mark.parametrize("kind", FILLED)
async def test_a_list_that_is_cut_says_so(looker: ObjectViews, kind: Kind):
    async def page(limit: int | None) -> tuple[int, bool]:
        found = await looker.page(kind, None, Selection(limit=limit))
        return len(found.views), found.has_more

    assert await page(2) == (2, True)
    assert await page(3) == (3, False)
    assert await page(4) == (3, False)
    assert await page(None) == (3, False)


async def test_runs_and_what_belongs_to_one_object_are_cut_likewise(
    ports: wiring.Ports, make_run: MakeRun
):
    for key in ("1", "2"):
        await make_run(key, tasks=2)
    looker = ObjectViews(ports.catalog, ports.register, ports.run_lists, ports.events)
    for kind, name in (("runs", None), ("tasks", None), ("schedules", "mine")):
        found: Any = await looker.page(kind, name, Selection(limit=1))
        assert (len(found.views), found.has_more) == (1, kind != "schedules")


@pytest.mark.parametrize("kind", KINDS)
async def test_all_of_every_kind_can_be_asked_for(looker: ObjectViews, kind: Kind):
    assert not (await looker.page(kind, None, Selection(limit=None))).has_more


def test_what_the_files_hold_is_listed_whole_and_the_rest_by_the_hundred():
    whole = {kind for kind in KINDS if default_limit(kind) is None}
    assert whole == {"definitions", "subscriptions", "calendars", "schedules"}
    assert {default_limit(kind) for kind in set(KINDS) - whole} == {100}
