"""The Replays port: one new run for each run and name, with the firing and how it is replayed."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from activityctl import wiring
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.replay_request import (
    ContextOf,
    ReplayOptions,
    ReplayOutcome,
    ReplayRequest,
)
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.operations.runs.replay_runs import choose_replayed

MakeRun = Callable[..., Awaitable[Run]]
OPTIONS = ReplayOptions(("note",), new_keys=True, context=ContextOf.LIVE)


async def test_a_replay_has_the_firing_of_the_run_and_starts_once_under_one_name(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    done = await make_run("k", status=RunStatus.SUCCEEDED, payload={"a": 1}, params={"p": 1})
    open_run = await make_run("open")
    request = ReplayRequest("first", "ann", OPTIONS, reason="wrong price")
    at = now + timedelta(minutes=1)
    ask = [done.id, open_run.id, "none"]
    outcomes = await ports.replays.replay(ask, request, at)
    run_id = ids.run_id(done.subscription_id, "manual", ids.replay_of_key(done.id, "first"))
    assert outcomes == [
        ReplayOutcome(done.id, "replayed", run_id),
        ReplayOutcome(open_run.id, "open"),
        ReplayOutcome(ids.RunId("none"), "unknown"),
    ]
    (waiting,) = await ports.run_lists.accepted(Selection())
    assert (waiting.id, waiting.replay_of, waiting.due_at) == (run_id, done.id, done.due_at)
    firing = FiringRequest(done.subscription_id, "manual", waiting.firing_key, done.due_at).ref
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    assert facts.replayed is not None
    assert (facts.replayed.run.id, facts.replayed.options) == (done.id, OPTIONS)
    assert facts.params == {"p": 1}
    run = new_run(firing, facts, at)
    assert (run.replay_of, run.payload, run.first_key) == (done.id, {"a": 1}, "k")
    await ports.runs.open(firing.workflow_id, RunChange(run))
    stored = await ports.run_lists.runs(Selection(replay_of=done.id))
    assert [(each.id, each.fresh_keys) for each in stored] == [(run_id, {"*": run_id})]
    again = await ports.replays.replay([done.id], request, at)
    assert again == [ReplayOutcome(done.id, "repeated", run_id)]
    other = await ports.replays.replay([done.id], ReplayRequest("second", "ann"), at)
    assert other[0].outcome == "replayed"
    wanted = LogFilter((done.subscription_id,))
    page, _ = await ports.logbook.page(wanted, Cursor(), limit=10)
    said = [entry for entry in page if entry.run_id == done.id]
    assert [entry.message for entry in said] == [
        f"replayed as run {run_id} by ann: wrong price",
        f"replayed as run {other[0].run_id} by ann",
    ]


async def test_a_run_of_a_deleted_subscription_is_not_replayed(
    ports: wiring.Ports,
    make_run: MakeRun,
    now: datetime,
    remove: Callable[..., Awaitable[Any]],
):
    done = await make_run("k", status=RunStatus.SUCCEEDED)
    await remove("mine")
    outcomes = await ports.replays.replay([done.id], ReplayRequest("x", "ann"), now)
    assert outcomes == [ReplayOutcome(done.id, "deleted")]


async def test_filters_select_the_last_run_of_each_firing_and_no_replay_of_the_same_request(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    names = ("alone", "waits", "again", "mended")
    failed = {name: await make_run(name, at=now, status=RunStatus.FAILED) for name in names}

    async def replayed(name: str, status: RunStatus) -> Run:
        before = failed[name].id
        key = ids.replay_of_key(before, "first")
        return await make_run(key, at=now, status=status, replay_of=before)

    await ports.replays.replay([failed["waits"].id], ReplayRequest("first", "ann"), now)
    worse = await replayed("again", RunStatus.FAILED)
    await replayed("mended", RunStatus.SUCCEEDED)

    async def chosen(request: str, *names: str) -> set[str]:
        choice = Choice(names, has_all=not names)
        asked = ReplayRequest(request, "ann")
        return {
            run.id for run in await choose_replayed(ports.catalog, ports.run_lists, choice, asked)
        }

    assert await chosen("second") == {failed["alone"].id, worse.id}
    assert await chosen("first") == {failed["alone"].id}, "its own replays are no new work"
    assert await chosen("second", failed["mended"].id) == {failed["mended"].id}
