"""The Timetable port: the triggers of an alarm change between a lost ring and its repeat.

Temporal repeats a ring whose answer was lost. Meanwhile people add, delete, pause and move
subscriptions of the alarm at the instant itself. What the lost ring gave to the workflow must come
again, and all else go to the dispatcher: then nothing has to wait until it counts as lost.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.timing.firing import FiringCause, FiringRef, Ringing
from activityctl.domain.values import ids
from activityctl.operations.gitops.history import delete
from activityctl.steps.ring import RingStep
from activityctl.workflows.calls import Rung

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DUE = NOON + timedelta(hours=1)
SECOND = timedelta(seconds=1)
HOURLY, HALF_HOURLY, OTHER = "every 1h", "every 30m", "every 7m"
DUE_TIMINGS = (HOURLY, HALF_HOURLY)
NOTE = {"name": "note", "command": {"argv": ["true"]}}
MANY = 21
"""An alarm's workflow does not carry the runs of so many."""


@dataclass
class Night:
    """The subscriptions of one definition, some of which share an alarm."""

    ledger: Any
    timings: dict[str, str] = field(default_factory=dict)
    tasks: Sequence[dict[str, Any]] = (NOTE,)
    started: list[FiringRef] = field(default_factory=list)

    async def apply(self) -> None:
        spec = {"triggers": [{"name": "t", "interval": {"every": "1h"}}], "tasks": self.tasks}
        definition = ActivityDefinition.model_validate_json(
            ids.canonical_json({"metadata": {"name": "d"}, "spec": spec})
        )
        subscriptions = {}
        for name, timing in self.timings.items():
            body = {"every": timing.removeprefix("every ")}
            override = {"activity": "d", "triggers": {"t": {"interval": body}}}
            text = ids.canonical_json({"metadata": {"name": name}, "spec": override})
            subscriptions[name] = SubscriptionManifest.model_validate_json(text)
        await self.ledger.write(ManifestSet({"d": definition}, subscriptions, {}))

    async def add(self, name: str, timing: str = HOURLY) -> None:
        self.timings[name] = timing
        await self.apply()

    async def move(self, name: str, timing: str) -> None:
        await self.add(name, timing)

    async def delete(self, name: str) -> None:
        del self.timings[name]
        await delete(
            self.ledger.ports.catalog,
            "Subscription",
            name,
            lambda: self.ledger.now,
            UNKNOWN_ORIGIN,
        )

    async def set_status(self, name: str, status: Any, **options: Any) -> None:
        key, now = ids.subscription_id(name), self.ledger.now
        await self.ledger.ports.catalog.set_subscription_status(key, status, now, **options)

    async def pause(self, name: str) -> None:
        await self.set_status(name, SubscriptionStatus.PAUSED)

    async def resume(self, name: str, *, catch_up: bool) -> None:
        await self.set_status(name, SubscriptionStatus.ACTIVE, catch_up=catch_up)

    async def ring(self, timing: str = HOURLY, cause: FiringCause = FiringCause.ALARM) -> Rung:
        """Let the workflow of the alarm ask, as often as it does until everything is decided."""
        environment = ActivityEnvironment()
        workflow_id = f"{timing} {cause}"
        environment.info = replace(environment.info, workflow_id=workflow_id)
        ringing = Ringing(f"alarm/{timing}", DUE.isoformat(), cause)
        step = RingStep(self.ledger.ports.timetable, self.ledger.ports.runs)
        rung = await environment.run(step.ring, ringing)
        while not rung.is_complete:
            rung = await environment.run(step.ring, ringing)
        return rung

    async def heard(self, timing: str = HOURLY) -> list[str]:
        """Ring, and let the workflow get the answer; return whose firings it carries."""
        firings = list((await self.ring(timing)).firings)
        assert {(firing.due, firing.workflow_id) for firing in firings} <= {
            (DUE, f"{timing} alarm")
        }
        self.started += firings
        return sorted(firing.subscription for firing in firings)

    async def settle(self) -> dict[str, str]:
        """Dispatch what waits; return the fate of each subscription's firing at the instant."""
        before = len(self.ledger.started)
        await self.ledger.dispatch()
        self.started += self.ledger.started[before:]
        started = {firing.run_id for firing in self.started if firing.due == DUE}
        lost = await self.ledger.ports.unfinished.firings_without_run(timedelta(0), 1_000)
        assert {found.firing.run_id for found in lost if found.firing.due == DUE} == started
        rows = {run.id: str(run.status) for run in await self.ledger.rows() if run.due_at == DUE}
        assert not started & set(rows)
        fates = rows | dict.fromkeys(started, "started")
        return {
            name: fates.pop(run_id)
            for name in [f"s{number}" for number in range(3 * MANY)]
            if (run_id := run_of(name)) in fates
        } | {str(unknown): fate for unknown, fate in fates.items()}


def run_of(name: str) -> ids.RunId:
    return ids.run_id(ids.subscription_id(name), "t", "2026-03-02T13:00:00Z")


@pytest_asyncio.fixture(loop_scope="session")
async def night(ledger: Any) -> Night:
    """Return two subscriptions of an hourly alarm, at its instant."""
    night = Night(ledger, {"s0": HOURLY, "s1": HOURLY})
    await night.apply()
    await ledger.at(DUE)
    return night


async def test_one_that_was_added_waits_for_its_next_time(night: Night) -> None:
    await night.ring()  # its answer is lost
    await night.add("s2")
    assert await night.heard() == ["s0", "s1"]
    assert await night.settle() == {"s0": "started", "s1": "started"}


async def test_the_workflow_still_gets_its_own_when_the_alarm_has_too_many(night: Night) -> None:
    await night.ring()
    for number in range(2, MANY):
        night.timings[f"s{number}"] = HOURLY
    await night.apply()
    assert await night.heard() == ["s0", "s1"]
    assert await night.settle() == {"s0": "started", "s1": "started"}


async def test_the_workflow_still_gets_its_own_when_later_runs_may_not_share(night: Night) -> None:
    await night.ring()
    night.tasks = [{**NOTE, "forEach": [1, 2]}]
    await night.apply()
    assert await night.heard() == ["s0", "s1"]
    assert await night.settle() == {"s0": "started", "s1": "started"}


@pytest.mark.parametrize("change", ["delete", "pause", "move"])
async def test_the_workflow_still_gets_what_has_left_the_alarm(night: Night, change: str) -> None:
    await night.ring()
    for name in list(night.timings):
        match change:
            case "delete":
                await night.delete(name)
            case "pause":
                await night.pause(name)
            case _:
                await night.move(name, HALF_HOURLY)
        assert await night.heard() == ["s0", "s1"]
    await night.heard(HALF_HOURLY)  # it is due at the same instant
    assert await night.settle() == {"s0": "started", "s1": "started"}


async def change_something(night: Night, chance: random.Random, paused: set[str]) -> None:
    """Do one of the things that happen to subscriptions at an instant."""
    name = chance.choice(sorted(night.timings))
    match chance.choice(("add", "delete", "pause", "resume", "move", "tasks", "many")):
        case "add":
            await night.add(f"s{len(night.timings) + MANY}", chance.choice(DUE_TIMINGS))
        case "delete" if len(night.timings) > 1:
            await night.delete(name)
            paused.discard(name)
        case "pause":
            await night.pause(name)
            paused.add(name)
        case "resume" if paused:
            name = chance.choice(sorted(paused))
            await night.resume(name, catch_up=chance.choice([True, False]))
            paused.discard(name)
        case "move":
            await night.move(name, chance.choice([*DUE_TIMINGS, OTHER]))
        case "tasks":
            night.tasks = chance.choice([[NOTE], [{**NOTE, "forEach": [1, 2]}]])
            await night.apply()
        case "many":
            night.timings |= {f"s{number + MANY}": HOURLY for number in range(MANY)}
            await night.apply()


async def ring_somehow(night: Night, chance: random.Random) -> None:
    """Let an alarm or the overdue scanner ring; the answer may be lost."""
    timing = chance.choice(DUE_TIMINGS)
    match chance.choice(("lost", "heard", "woken")):
        case "lost":
            await night.ring(timing)
        case "heard":
            await night.heard(timing)
        case _:
            night.started += (await night.ring(timing, FiringCause.WAKE_UP)).firings


@pytest.mark.parametrize("seed", [7, 13, 40])
async def test_whatever_changes_at_the_instant_each_has_one_fate(ledger: Any, seed: int) -> None:
    chance = random.Random(seed)
    night, paused = Night(ledger), set[str]()
    for number in range(chance.randint(1, 4)):
        night.timings[f"s{number}"] = chance.choice([HOURLY, HALF_HOURLY])
    await night.apply()
    was_due = dict.fromkeys(night.timings, "started")
    for after in sorted(chance.randint(0, 900) for _ in range(6)):
        await ledger.at(DUE + timedelta(milliseconds=after))
        if chance.choice([True, False]):
            await ring_somehow(night, chance)
        await change_something(night, chance, paused)
    for timing in DUE_TIMINGS:  # Temporal repeats what was lost
        await night.heard(timing)
    assert await night.settle() == was_due
