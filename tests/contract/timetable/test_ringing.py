"""The Timetable port: an alarm decides what is due of all triggers that share it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.runs.admission import AdmissionInput
from activityctl.domain.timing.firing import FiringRef, Ringing
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.steps.ring import RingStep
from activityctl.workflows.calls import Rung

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
HOURLY = "alarm/every 1h"
RINGING = Ringing(HOURLY, (NOON + HOUR).isoformat())
TASK = {"name": "note", "command": {"argv": ["true"]}}


async def apply(ledger: Any, count: int, bodies: dict[str, Any] | None = None, **spec: Any) -> None:
    """Apply that many subscriptions with an hourly trigger; `bodies` override it by name."""
    whole = {"triggers": [{"name": "t", "interval": {"every": "1h"}}], "tasks": [TASK], **spec}
    definition = ActivityDefinition.model_validate_json(
        ids.canonical_json({"metadata": {"name": "d"}, "spec": whole})
    )
    subscriptions = {}
    for number in range(count):
        name = f"s{number}"
        body = (bodies or {}).get(name, {})
        triggers = {"t": {"interval": body}} if body else {}
        text = {"metadata": {"name": name}, "spec": {"activity": "d", "triggers": triggers}}
        subscriptions[name] = SubscriptionManifest.model_validate_json(ids.canonical_json(text))
    await ledger.write(ManifestSet({"d": definition}, subscriptions, {}))


async def ring(ledger: Any, ringing: Ringing = RINGING) -> Rung:
    step = RingStep(ledger.ports.timetable, ledger.ports.runs)
    return await ActivityEnvironment().run(step.ring, ringing)


def owners(firings: list[FiringRef]) -> list[str]:
    return sorted(firing.subscription_id for firing in firings)


async def waiting(ledger: Any) -> int:
    return int(await ledger.ports.outbox.waiting())


async def test_a_few_are_carried_by_the_alarm_and_a_repeat_gives_the_same_answer(
    ledger: Any,
) -> None:
    await apply(ledger, 3)
    await ledger.at(NOON + HOUR)
    first = await ring(ledger)
    assert first.is_complete
    assert owners(first.firings) == sorted(ids.subscription_id(f"s{n}") for n in range(3))
    assert {firing.due for firing in first.firings} == {NOON + HOUR}
    assert {(firing.definition, firing.workflow_id) for firing in first.firings} == {("d", "test")}
    assert await waiting(ledger) == 0
    again = await ring(ledger)  # its answer was lost
    assert owners(again.firings) == owners(first.firings)
    for firing in again.firings:
        assert await ledger.ports.timetable.process_due(firing)


async def test_a_ring_reads_what_the_admissions_of_its_firings_need(ledger: Any) -> None:
    await apply(ledger, 2)
    await ledger.at(NOON + HOUR)
    kept: dict[ids.RunId, AdmissionInput] = {}
    early: list[FiringRef] = []
    step = RingStep(ledger.ports.timetable, ledger.ports.runs)
    step.read_ahead, step.admit_early = kept.update, early.extend
    rung = await ActivityEnvironment().run(step.ring, RINGING)
    assert early == rung.firings
    assert set(kept) in (set(), {firing.run_id for firing in early})  # the memory twin reads none
    for firing in early:
        read = await ledger.ports.runs.admission_input(firing)
        if found := kept.get(firing.run_id):
            assert found.version is not None
            revision = replace(read.revision, spec={})
            assert found == replace(read, revision=revision, version=found.version)


@pytest.mark.parametrize(
    ("count", "spec"),
    [(21, {}), (2, {"tasks": [{**TASK, "forEach": [1, 2]}]})],
    ids=["many", "runs that may take long"],
)
async def test_others_are_left_to_the_dispatcher(
    ledger: Any, count: int, spec: dict[str, Any]
) -> None:
    await apply(ledger, count, **spec)
    await ledger.at(NOON + HOUR)
    assert await ring(ledger) == Rung(is_complete=True)
    assert await waiting(ledger) == count
    assert await ring(ledger) == Rung(is_complete=True)
    assert await waiting(ledger) == count
    assert set(await ledger.dispatch()) == {NOON + HOUR}


async def test_each_trigger_keeps_its_own_fate(ledger: Any) -> None:
    """Excluded, bounded, spent, jittered and paused ones share an alarm with a plain one."""
    bodies = {
        "s1": {"exclude": {"dates": ["2026-03-02"]}},
        "s2": {"startAt": "2027-01-01T00:00:00Z"},
        "s3": {"jitter": "30m"},
        "s4": {"window": {"from": "20:00", "to": "21:00", "outside": "miss"}},
        "s6": {"endAt": "2026-03-02T12:30:00Z"},
    }
    await apply(ledger, 7, bodies)
    catalog = ledger.ports.catalog
    paused = ids.subscription_id("s5")
    await catalog.set_subscription_status(paused, SubscriptionStatus.PAUSED, NOON)
    await ledger.at(NOON + HOUR)
    rung = await ring(ledger)
    assert owners(rung.firings) == [ids.subscription_id("s0")]
    fates = {run.subscription: str(run.status) for run in await ledger.rows()}
    assert fates == {"s1": "skipped", "s4": "missed"}
    assert await waiting(ledger) == 1  # the one with jitter
    catalog_rows = {
        row.subscription: row for row in await ledger.ports.register.schedules(Selection())
    }
    assert catalog_rows["s6"].alarm is None
    assert catalog_rows["s2"].alarm == HOURLY


async def test_thousands_are_decided_in_pages_and_a_crash_between_them_loses_nothing(
    ledger: Any,
) -> None:
    await apply(ledger, 1_700)
    await ledger.at(NOON + HOUR)
    timetable = ledger.ports.timetable
    page = await timetable.ring(RINGING, (), "w")  # then the worker is killed
    assert await waiting(ledger) in {500, 1_700}  # the memory twin has no pages
    assert page.is_complete == (await waiting(ledger) == 1_700)
    assert (await ring(ledger)).is_complete
    assert await waiting(ledger) == 1_700
    assert await ledger.ports.timetable.overdue(10) == []
    assert len(await ledger.dispatch()) == 1_700


async def test_two_that_decide_at_the_same_time_are_done_when_all_is_decided(ledger: Any) -> None:
    await apply(ledger, 1_100)
    await ledger.at(NOON + HOUR + 3 * SECOND)

    async def look_after_it() -> list[Any]:
        assert (await ring(ledger)).is_complete
        return list(await ledger.ports.timetable.overdue(10))

    assert await asyncio.gather(look_after_it(), look_after_it()) == [[], []]
    assert await waiting(ledger) == 1_100


async def test_an_alarm_that_rings_early_or_for_nobody_decides_nothing(ledger: Any) -> None:
    await apply(ledger, 2)
    await ledger.at(NOON + HOUR - 3 * SECOND)
    assert await ring(ledger) == Rung(is_complete=True)
    assert await ring(ledger, Ringing("alarm/of nobody", NOON.isoformat())) == Rung(True)
    assert await waiting(ledger) == 0
    await ledger.at(NOON + HOUR - SECOND)  # Temporal's clock may be ahead a little
    assert len((await ring(ledger)).firings) == 2


async def test_an_alarm_that_is_late_decides_all_that_is_due_by_now(ledger: Any) -> None:
    await apply(ledger, 2, {"s1": {"misfire": {"policy": "fire_all"}}})
    await ledger.at(NOON + 3 * HOUR + 60 * SECOND)
    assert (await ring(ledger)).is_complete
    assert await ledger.ports.timetable.overdue(10) == []
    fates = [f"{run.subscription} {run.due_at:%H} {run.status}" for run in await ledger.rows()]
    assert sorted(fates) == ["s0 13 missed", "s0 14 missed"]
    assert await waiting(ledger) + len(ledger.started) >= 3
