"""Recover: what Temporal does not know is started again, and what it knows is left alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState
from activityctl.daemon.worker.recovery_loop import RecoveryLoop
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.admission import new_run, seconds_left
from activityctl.domain.runs.fresh_start import AFTER
from activityctl.domain.runs.run import Decision, Run, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringCause, FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.errors import RefusedError, UnreachableError
from activityctl.operations.runs.recover import OLDER_THAN, Recovery
from activityctl.ports import QuietWorkflow

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
MINE = ids.subscription_id("s")


class Bed:
    """Ports with one subscription, and a clock that the test sets."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.at(NOON)
        self.ports: MemoryPorts = memory_ports(self.state)
        self.recovery = Recovery(
            self.ports.unfinished,
            self.ports.stuck_runs,
            self.ports.starter,
            self.ports.logbook,
            lambda: LATER,
        )

    def at(self, moment: datetime) -> None:
        self.state.catalog.clock = lambda: moment

    async def apply(self) -> None:
        spec = {"tasks": [{"name": "a", "say": {}}], "timeout": "1h"}
        definition = ActivityDefinition.model_validate_json(
            json.dumps({"metadata": {"name": "d"}, "spec": spec})
        )
        subscription = SubscriptionManifest.model_validate(
            {"metadata": {"name": "s"}, "spec": {"activity": "d"}}
        )
        present = await self.ports.catalog.present()
        plan = plan_changes(Wanted({"d": definition}, {"s": subscription}), present)
        async with self.ports.catalog.changing():
            await self.ports.catalog.write(plan, NOON)

    async def store(self, key: str) -> FiringRef:
        """Store a firing and mark it as started."""
        await self.ports.outbox.add([FiringRequest(MINE, "manual", key, NOON)], NOON)
        async with self.ports.outbox.claimed(100) as claim:
            await claim.dispatched(claim.firings, NOON)
            (firing,) = claim.firings
        return firing

    async def open(self, key: str, workflow_id: str = "") -> Run:
        """Open the run of a new firing in the workflow."""
        firing = await self.store(key)
        facts = await self.ports.runs.admission_input(firing)
        assert facts is not None
        run = new_run(firing, facts, NOON)
        run = replace(run, status=RunStatus.RUNNING, started_at=NOON)
        await self.ports.runs.open(
            workflow_id or firing.workflow_id, run_change(run, Decision(), NOON)
        )
        return run

    async def messages(self) -> list[str]:
        page, _ = await self.ports.logbook.page(LogFilter((MINE,)), Cursor(), limit=100)
        return [entry.message for entry in page]


async def new_bed() -> Bed:
    bed = Bed()
    await bed.apply()
    return bed


async def test_a_run_whose_workflow_is_open_is_left_alone():
    bed = await new_bed()
    run = await bed.open("a")
    bed.at(LATER)
    (firing,) = (await bed.recovery.find()).runs
    await bed.ports.starter.start(firing)
    assert (await bed.recovery.carry_on()).is_empty
    assert bed.ports.starter.started == [firing]
    assert firing.run_id == run.id
    assert await bed.messages() == []


async def test_a_run_without_a_workflow_is_carried_on_and_says_so():
    bed = await new_bed()
    run = await bed.open("a")
    bed.at(LATER)
    recovered = await bed.recovery.carry_on()
    (firing,) = bed.ports.starter.started
    assert firing.run_id == run.id
    assert firing.cause is FiringCause.RECOVERY
    assert list(recovered.runs) == [firing]
    assert "was started again" in (await bed.messages())[0]
    assert (await bed.recovery.carry_on()).is_empty


async def test_runs_that_shared_a_workflow_share_it_again():
    bed = await new_bed()
    for key in ("a", "b"):
        await bed.open(key, "batch/x")
    bed.at(LATER)
    await bed.recovery.carry_on()
    assert [firing.workflow_id for firing in bed.ports.starter.started] == ["batch/x", "batch/x"]


async def test_a_young_run_is_left_alone():
    bed = await new_bed()
    await bed.open("a")
    bed.at(NOON + OLDER_THAN - timedelta(seconds=1))
    assert (await bed.recovery.find()).is_empty


async def test_a_started_firing_without_a_run_is_started_again():
    bed = await new_bed()
    firing = await bed.store("a")
    await bed.open("b")
    bed.at(LATER)
    recovered = await bed.recovery.carry_on()
    assert list(recovered.firings) == [firing]
    assert firing in bed.ports.starter.started
    assert recovered.checked_until is not None
    assert recovered.checked_until <= NOON
    assert (await bed.recovery.find(since=LATER)).firings == []


async def test_firings_that_have_runs_are_not_looked_at_again():
    bed = await new_bed()
    await bed.open("a")
    bed.at(LATER)
    until = (await bed.recovery.find()).checked_until
    assert until is not None
    assert LATER - 2 * timedelta(minutes=1) < until < LATER - OLDER_THAN


async def test_what_was_started_is_told_although_temporal_then_goes_away():
    bed = await new_bed()
    await bed.open("a")
    run = await bed.open("b")
    bed.at(LATER)
    bed.ports.starter.refused["a"] = UnreachableError("away")
    with pytest.raises(UnreachableError):
        await bed.recovery.carry_on()
    assert [firing.run_id for firing in bed.ports.starter.started] == [run.id]
    assert len(await bed.messages()) == 1


async def test_a_dry_run_changes_nothing():
    bed = await new_bed()
    await bed.open("a")
    await bed.store("b")
    bed.at(LATER)
    found = await bed.recovery.find()
    assert (len(found.runs), len(found.firings)) == (1, 1)
    assert bed.ports.starter.started == []


async def test_what_temporal_refuses_is_told_and_the_others_go_on():
    bed = await new_bed()
    await bed.open("a")
    run = await bed.open("b")
    bed.at(LATER)
    bed.ports.starter.refused["a"] = RefusedError("no")
    recovered = await bed.recovery.carry_on()
    assert [reason for _, reason in recovered.refused] == ["no"]
    assert [firing.run_id for firing in bed.ports.starter.started] == [run.id]
    assert len(await bed.messages()) == 1


async def test_a_run_that_is_carried_on_keeps_what_is_left_of_its_timeout():
    bed = await new_bed()
    run = await bed.open("a")
    state = await bed.ports.runs.load(run.id)
    assert state is not None
    assert seconds_left(state.run, state.spec, NOON + timedelta(minutes=45)) == 900
    assert seconds_left(state.run, state.spec, NOON + timedelta(hours=3)) == 0
    assert seconds_left(state.run, state.spec, NOON - timedelta(hours=3)) == 3600


async def test_runs_whose_workflow_cannot_go_on_get_a_new_one():
    bed = Bed()
    await bed.apply()
    run = await bed.open("a", "w")
    await bed.ports.starter.start(await bed.store("b"))
    bed.ports.starter._open.add("w")
    await bed.ports.stuck_runs.mark_stuck("w", "it does not fit", LATER - AFTER)
    bed.recovery._clock = lambda: LATER - timedelta(seconds=1)
    assert not (await bed.recovery.carry_on(older_than=timedelta(0))).runs
    bed.recovery._clock = lambda: LATER
    (again,) = (await bed.recovery.carry_on(older_than=timedelta(0))).runs
    assert (again.run_id, again.workflow_id) == (run.id, "w")
    assert bed.ports.starter.terminated == ["w"]
    assert "a new one goes on with it" in (await bed.messages())[-1]
    assert await bed.ports.stuck_runs.summary() is None


class Forsaken:
    """Says of a workflow that all its attempts are lost, as long as it is told to."""

    def __init__(self, bed: Bed, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_so = True
        self._bed, self._workflow = bed, QuietWorkflow("w", run.id, NOON)
        monkeypatch.setattr(bed.ports.stuck_runs, "forsaken", self.forsaken)

    async def forsaken(self) -> list[QuietWorkflow]:
        return [self._workflow] if self.is_so else []

    async def woken_after(self, seconds: float) -> int:
        """Look that late, and return how often the workflow was woken so far."""
        self._bed.recovery._clock = lambda: LATER + timedelta(seconds=seconds)
        await self._bed.recovery.carry_on(older_than=timedelta(0))
        return len(self._bed.ports.starter.woken)


async def new_forsaken(monkeypatch: pytest.MonkeyPatch) -> tuple[Bed, Forsaken]:
    bed = await new_bed()
    run = await bed.open("a", "w")
    await bed.ports.starter.start(await bed.store("b"))
    bed.ports.starter._open.add("w")
    return bed, Forsaken(bed, run, monkeypatch)


async def test_a_workflow_that_does_not_hear_of_its_lost_tasks_is_woken_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
):
    bed, forsaken = await new_forsaken(monkeypatch)
    assert [await forsaken.woken_after(seconds) for seconds in (0, 60)] == [0, 0]
    forsaken.is_so = False  # it went on
    assert await forsaken.woken_after(90) == 0
    forsaken.is_so = True
    looks = [await forsaken.woken_after(seconds) for seconds in (100, 219, 220, 339, 340)]
    assert looks == [0, 0, 1, 1, 2]
    assert bed.ports.starter.terminated == []  # it may wait for a breaker, or for busy workers
    assert await bed.messages() == []


async def test_patience_with_a_forsaken_workflow_begins_anew_after_an_outage_of_temporal(
    monkeypatch: pytest.MonkeyPatch,
):
    bed, forsaken = await new_forsaken(monkeypatch)
    assert await forsaken.woken_after(0) == 0
    with monkeypatch.context() as away:
        away.setattr(bed.ports.starter, "open_workflows", unreachable)
        with pytest.raises(UnreachableError):
            await bed.recovery.carry_on(older_than=timedelta(0))
    assert await forsaken.woken_after(AFTER.total_seconds()) == 0


async def unreachable() -> frozenset[str]:
    raise UnreachableError("Temporal does not answer")


async def test_each_new_worker_wakes_quiet_workflows_once():
    bed = await new_bed()
    quiet, gone = await bed.open("a"), await bed.open("b")
    bed.at(LATER)
    (firing,) = [each for each in (await bed.recovery.find()).runs if each.run_id == quiet.id]
    await bed.ports.starter.start(firing)
    loop = RecoveryLoop(bed.recovery, bed.ports.register)
    for _ in range(2):
        await loop.carry_on()  # the other one is started again, and woken as well
    assert sorted(bed.ports.starter.woken) == sorted([quiet.id, gone.id])
    bed.at(LATER + timedelta(hours=1))
    await RecoveryLoop(bed.recovery, bed.ports.register).carry_on()
    assert len(bed.ports.starter.woken) == 2  # it has waited too long to have been lost lately


async def test_a_quiet_workflow_that_temporal_will_not_wake_is_no_error():
    bed = await new_bed()
    await bed.open("a")
    bed.at(LATER)
    bed.ports.starter.failure = RefusedError("too many signals")
    await bed.recovery.wake_quiet()
    assert bed.ports.starter.woken == []
