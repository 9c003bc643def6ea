"""The RunLists port: the order of lists, their filters, and how a run is found."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.daemon.worker.router import Router
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.gitops.waiting import Waiting, WaitingFirings
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.errors import AmbiguousError, NotFoundError
from support.gathering import emit, event

MakeRun = Callable[..., Awaitable[Run]]


@pytest_asyncio.fixture(loop_scope="session")
async def three(make_run: MakeRun, now: datetime) -> list[Run]:
    """Return three runs, oldest first, opened in another order."""
    minute = timedelta(minutes=1)
    second = await make_run("second", at=now + minute, status=RunStatus.FAILED, tasks=2)
    third = await make_run("third", at=now + 2 * minute)
    first = await make_run("first", at=now, status=RunStatus.SUCCEEDED)
    return [first, second, third]


async def test_runs_are_listed_newest_first_and_filtered_by_each_field(
    ports: wiring.Ports, three: list[Run], mine: Subscription
):
    first, second, third = three
    runs = ports.run_lists.runs
    assert await runs(Selection()) == [third, second, first]
    assert await runs(Selection(limit=2)) == [third, second]
    assert await runs(Selection(statuses=("failed",))) == [second]
    assert await runs(Selection(run_id=first.id)) == [first]
    assert await runs(Selection(since=second.created_at)) == [third, second]
    assert await runs(Selection(subscription_id=mine.id, statuses=("running",))) == [third]
    assert await runs(Selection(subscription_id="other")) == []


async def test_runs_tasks_and_firings_have_the_labels_of_their_subscription(
    ports: wiring.Ports,
    three: list[Run],
    mine: Subscription,
    apply: Callable[..., Awaitable[Plan]],
    subscribe: Callable[..., SubscriptionManifest],
    now: datetime,
):
    await apply(subscribe("mine", labels={"team": "db", "region": "eu"}))
    await ports.outbox.add([FiringRequest(mine.id, "manual", "later", now)], now)
    lists = ports.run_lists
    for labels, is_found in (({"team": "db"}, True), ({"team": "db", "region": "us"}, False)):
        selection = Selection(labels=labels)
        assert len(await lists.runs(selection)) == len(three) * is_found
        assert bool(await lists.tasks(selection)) == is_found
        assert len(await lists.accepted(selection)) == is_found


async def test_tasks_are_listed_by_their_runs_newest_first(
    ports: wiring.Ports, three: list[Run], now: datetime
):
    _, second, third = three

    async def keys(selection: Selection) -> list[tuple[str, int]]:
        found = await ports.run_lists.tasks(selection)
        names = {run.id: run.firing_key for run in three}
        return [(names[task.run_id], task.index) for task in found]

    everything = [("third", 0), ("second", 0), ("second", 1), ("first", 0)]
    assert await keys(Selection()) == everything
    assert await keys(Selection(limit=2)) == everything[:2]
    assert await keys(Selection(run_id=second.id)) == everything[1:3]
    assert await keys(Selection(since=second.created_at)) == everything[:3]
    await ports.runs.begin_attempt(ids.task_id(third.id, "note", 0), now, "here")
    assert await keys(Selection(statuses=("running",))) == [("third", 0)]
    assert await keys(Selection(name=ids.task_id(third.id, "note", 0)[:13])) == [("third", 0)]
    assert await keys(Selection(name="%")) == []


async def test_a_run_is_found_by_id_and_by_unique_prefix(ports: wiring.Ports, three: list[Run]):
    for run in three:
        assert await ports.run_lists.find_run(run.id) == run
        assert await ports.run_lists.find_run(run.id[:13]) == run


async def test_a_prefix_of_several_runs_tells_which_runs(ports: wiring.Ports, make_run: MakeRun):
    firsts = [(await make_run(f"k{number}", tasks=0)).id[0] for number in range(17)]
    shared = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(AmbiguousError, match=f"several runs: {shared}.*mine, running") as caught:
        await ports.run_lists.find_run(shared)
    assert caught.value.exit_code == 4
    assert caught.value.message.count("mine, running") == min(firsts.count(shared), 5)


@pytest.mark.parametrize("reference", ["", "%", "_", "\\", "nothing", "\0", "\udcff"])
async def test_only_prefixes_of_ids_are_found(
    ports: wiring.Ports, make_run: MakeRun, reference: str
):
    await make_run("k", tasks=0)
    with pytest.raises(NotFoundError):
        await ports.run_lists.find_run(reference)


async def test_dead_letters_are_listed_newest_first_and_filtered_by_each_field(
    ports: wiring.Ports, three: list[Run], mine: Subscription
):
    letters = []
    for run in three:
        letter = DeadLetter(ids.dead_letter_id(run.id), run.id, mine.id, "why", run.created_at)
        letters.insert(0, letter.id)
        for _ in range(2):  # the second time changes nothing: a run has one dead letter
            async with ports.runs.locked(run.id) as locked:
                await locked.save(RunChange(run, dead_letter=letter))

    async def listed(selection: Selection) -> list[str]:
        return [letter.id for letter in await ports.run_lists.dead_letters(selection)]

    assert await listed(Selection()) == letters
    assert await listed(Selection(limit=1)) == letters[:1]
    assert await listed(Selection(since=three[1].created_at)) == letters[:2]
    assert await listed(Selection(run_id=three[0].id)) == letters[2:]
    assert await listed(Selection(subscription_id=mine.id)) == letters
    assert await listed(Selection(subscription_id="other")) == []


async def test_open_runs_are_counted_for_each_subscription(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription
):
    assert await ports.run_lists.open_counts() == {}
    await make_run("a")
    await make_run("b", status=RunStatus.QUEUED)
    await make_run("c", status=RunStatus.SUCCEEDED)
    assert await ports.run_lists.open_counts() == {mine.id: 2}


async def test_repeated_statuses_add_up(ports: wiring.Ports, three: list[Run]):
    first, second, third = three
    wanted = Selection(statuses=("failed", "succeeded"))
    assert await ports.run_lists.runs(wanted) == [second, first]
    assert await ports.run_lists.tasks(Selection(statuses=("skipped", "failed"))) == []
    assert third not in await ports.run_lists.runs(wanted)


async def test_the_latest_run_of_each_subscription(ports: wiring.Ports, three: list[Run]):
    *_, newest = three
    found = await ports.run_lists.latest_runs([newest.subscription_id, "without-a-run"])
    (latest,) = found.values()
    assert list(found) == [newest.subscription_id]
    assert (latest.id, latest.status) == (newest.id, newest.status)
    assert latest.created_at == newest.created_at
    assert await ports.run_lists.latest_runs([]) == {}


async def test_what_waits_is_counted_by_subscription_and_revision(
    ports: wiring.Ports,
    mine: Subscription,
    apply: Callable[..., Any],
    define: Callable[..., Any],
    now: datetime,
):
    assert await ports.run_lists.waiting() == Waiting()
    for number in (1, 2):
        keys = [f"{number}{index}" for index in range(number)]
        firings = [FiringRequest(mine.id, "manual", key, now) for key in keys]
        await ports.outbox.add(firings, now)
        several = {"event": {"type": "changed", "batch": {"size": 9, "within": "1h"}}}
        await apply(define("digest", triggers=[{"name": "several", **several}]))
    await emit(ports, event("a"), event("b"))
    await Router(ports.events, lambda: None).route()
    waiting = await ports.run_lists.waiting()
    assert sorted(waiting.firings, key=lambda each: each.revision) == [
        WaitingFirings(mine.id, 1, 1),
        WaitingFirings(mine.id, 2, 2),
    ]
    assert waiting.gathered == {mine.id: 2}
