"""Pages of lists: a page says whether there is more; without a limit it has everything."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.filters import default_limit
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.kinds import KINDS, Kind

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
MakeRun = Callable[..., Awaitable[Run]]
FILLED: tuple[Kind, ...] = ("definitions", "subscriptions", "revisions", "schedules")


@pytest.fixture
async def views(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe
) -> ObjectViews:
    """Apply three definitions and three subscriptions; return the views on them."""
    names = ("a", "b", "c")
    await apply(*(define(name) for name in names), *(subscribe(name, name) for name in names))
    return ObjectViews(
        ports.catalog,
        ports.register,
        ports.run_lists,
        ports.events,
        ports.workers,
        ports.audit,
        chains=ports.chains,
        relayers=no_keys,
    )


async def no_keys(_selection: Selection) -> list[View]:
    return []


@pytest.mark.parametrize("kind", FILLED)
async def test_a_page_says_whether_there_is_more(views: ObjectViews, kind: Kind):
    async def page(limit: int | None) -> tuple[int, bool]:
        found = await views.page(kind, None, Selection(limit=limit))
        return len(found.views), found.has_more

    assert await page(2) == (2, True)
    assert await page(3) == (3, False)
    assert await page(4) == (3, False)
    assert await page(None) == (3, False)


async def test_pages_of_runs_tasks_and_schedules_say_so_too(ports: wiring.Ports, make_run: MakeRun):
    for key in ("1", "2"):
        await make_run(key, tasks=2)
    views = ObjectViews(
        ports.catalog,
        ports.register,
        ports.run_lists,
        ports.events,
        ports.workers,
        ports.audit,
        chains=ports.chains,
    )
    for kind, name in (("runs", None), ("tasks", None), ("schedules", "mine")):
        found: Any = await views.page(kind, name, Selection(limit=1))
        assert (len(found.views), found.has_more) == (1, kind != "schedules")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_can_be_listed_without_a_limit(views: ObjectViews, kind: Kind):
    assert not (await views.page(kind, None, Selection(limit=None))).has_more


def test_kinds_from_manifests_are_listed_whole_and_the_others_by_the_hundred():
    whole = {kind for kind in KINDS if default_limit(kind) is None}
    kinds = {"definitions", "subscriptions", "calendars", "sources", "schedules", "workers"}
    assert whole == {*kinds, "sets", "chains", "relayers", "breakers", "limits"}
    assert {default_limit(kind) for kind in set(KINDS) - whole} == {100}
