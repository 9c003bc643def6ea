"""Pages of lists: a page says whether there is more; without a limit it has everything."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values import ids
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.errors import UsageError
from activityctl.operations.looking.cursors import PAGED, cursor_after
from activityctl.operations.looking.filters import default_limit
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.kinds import KINDS, Kind
from support.gathering import emit, event

Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
MakeRun = Callable[..., Awaitable[Run]]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
FILLED: tuple[Kind, ...] = ("definitions", "subscriptions", "revisions", "schedules")


@pytest_asyncio.fixture(loop_scope="session")
async def views(
    ports: wiring.Ports, apply: Apply, define: Define, subscribe: Subscribe
) -> ObjectViews:
    """Apply three definitions and three subscriptions; return the views on them."""
    names = ("a", "b", "c")
    await apply(*(define(name) for name in names), *(subscribe(name, name) for name in names))
    return ObjectViews(ports, no_keys)


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
    views = ObjectViews(ports)
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


@pytest.mark.parametrize("kind", [*sorted(PAGED), *FILLED])
async def test_pages_go_on_after_a_cursor_whatever_is_added_meanwhile(
    views: ObjectViews, ports: wiring.Ports, make_run: MakeRun, mine: Subscription, kind: Kind
):
    async def add(name: str, at: datetime) -> None:
        run = await make_run(name, tasks=2, at=at, status=RunStatus.FAILED)
        letter = DeadLetter(ids.dead_letter_id(run.id), run.id, mine.id, "why", at)
        async with ports.runs.locked(run.id) as locked:
            await locked.save(RunChange(run, dead_letter=letter))
        await emit(ports, event(name))
        entry = AuditEntry(name, at, "me", "emit", "", "done", None, None, {})
        await ports.audit.add([entry])

    for number in range(5):  # of the same time, all but the first
        await add(f"k{number}", NOW + timedelta(seconds=min(number, 1)))
    whole = (await views.page(kind, None, Selection(limit=None))).views
    found: list[View] = []
    cursor = None
    for number in range(len(whole)):
        page = await views.page(kind, None, Selection(limit=2), cursor)
        found += page.views
        cursor = page.cursor
        assert page.has_more == (cursor is not None)
        if cursor is None:
            break
        await add(f"new{number}", NOW + timedelta(minutes=1))
    assert [view.get("id") or view["name"] for view in found] == [
        view.get("id") or view["name"] for view in whole
    ]
    assert cursor is None
    another = cursor_after("runs" if kind != "runs" else "tasks", {"id": "x"})
    gone = cursor_after(kind, {"id": "x", "name": "x"})
    for wrong in (another, "", "!", "WzFd", "é", "A" * 2_000, *([gone] if kind in PAGED else [])):
        with pytest.raises(UsageError, match="no cursor of this list"):
            await views.page(kind, None, Selection(), wrong)
