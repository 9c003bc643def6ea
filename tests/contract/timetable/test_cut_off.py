"""The Timetable port: firings that an outage kept from starting when they were to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.admission import new_run
from activityctl.domain.firing import jitter_of
from activityctl.domain.firing_ref import FiringRef, ManualFiring, firing_key
from activityctl.domain.record import RunChange
from activityctl.ports import Opening

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NOMINAL = NOON + HOUR
JITTERED = {"every": "1h", "jitter": "30m"}


def dispatched(ledger: Any, nominal: datetime = NOMINAL) -> FiringRef:
    """The firing with which the dispatcher starts a workflow."""
    return ManualFiring(ledger.owner, "often", firing_key(nominal), nominal).ref


def starts(ledger: Any, nominal: datetime = NOMINAL) -> datetime:
    return nominal + jitter_of(ledger.owner, "often", nominal, 30 * MINUTE)


async def waiting(ledger: Any, **body: Any) -> None:
    """Settle a firing that waits for its jitter or its window."""
    await ledger.apply(body={**JITTERED, **body})
    await ledger.at(NOMINAL)
    assert not await ledger.rings(NOMINAL)


async def begins(ledger: Any, at: datetime) -> bool:
    await ledger.at(at)
    return await ledger.ports.timetable.settle(dispatched(ledger))


@pytest.mark.parametrize("policy", ["skip", "fire_once", "fire_all"])
async def test_a_little_late_is_on_time(ledger: Any, policy: str) -> None:
    await waiting(ledger, misfire={"policy": policy, "window": "1s"})
    assert await begins(ledger, starts(ledger) + 30 * SECOND)
    assert await ledger.rows() == []


async def test_skip_misses_it(ledger: Any) -> None:
    await waiting(ledger, misfire={"policy": "skip"})
    at = starts(ledger) + 31 * SECOND
    assert not await begins(ledger, at)
    (run,) = await ledger.rows()
    assert (str(run.status), run.due_at, run.ended_at) == ("missed", NOMINAL, at)
    assert str(run.reason).endswith("; misfire policy skip")
    (entry,) = await ledger.log()
    assert (entry.run_id, entry.message) == (run.id, f"run missed: {run.reason}")


async def test_fire_once_makes_up_for_the_latest_alone(ledger: Any) -> None:
    await waiting(ledger, misfire={"policy": "fire_once"})
    assert await begins(ledger, NOMINAL + 59 * MINUTE)
    assert not await begins(ledger, NOMINAL + HOUR)
    (run,) = await ledger.rows()
    assert "misfire policy fire_once: a later firing runs" in str(run.reason)


async def test_fire_all_makes_up_for_it_within_the_window(ledger: Any) -> None:
    await waiting(ledger, misfire={"policy": "fire_all", "window": "5h"})
    assert await begins(ledger, NOMINAL + 5 * HOUR)
    assert not await begins(ledger, NOMINAL + 5 * HOUR + SECOND)
    (run,) = await ledger.rows()
    assert "over the misfire window of 5h" in str(run.reason)


async def test_it_starts_in_its_window_or_not_at_all(ledger: Any) -> None:
    window = {"from": "15:00", "to": "16:00"}
    await ledger.apply(body={"every": "1h", "window": window, "misfire": {"policy": "fire_all"}})
    await ledger.at(NOMINAL)
    assert not await ledger.rings(NOMINAL)
    assert await begins(ledger, NOON + 3.5 * HOUR)
    assert not await begins(ledger, NOON + 4 * HOUR)
    (run,) = await ledger.rows()
    assert str(run.reason).endswith("1h late; now it is outside its window (15:00-16:00 UTC)")


async def test_a_run_that_has_begun_stays(ledger: Any) -> None:
    """Its workflow asks again, since the answer was lost with its worker."""
    await waiting(ledger, misfire={"policy": "skip"})
    firing = dispatched(ledger)
    assert await begins(ledger, starts(ledger))
    facts = await ledger.ports.runs.facts(firing)
    assert facts is not None
    change = RunChange(new_run(firing, facts, ledger.now))
    assert await ledger.ports.runs.open(firing.workflow_id, change) is Opening.OPENED
    assert await begins(ledger, starts(ledger) + 5 * HOUR)
    assert [str(run.status) for run in await ledger.rows()] == ["queued"]


async def test_one_that_was_missed_is_told_of_once(ledger: Any) -> None:
    await waiting(ledger, misfire={"policy": "skip"})
    for _ in range(3):
        await begins(ledger, starts(ledger) + 31 * SECOND)
    assert len(await ledger.rows()) == len(await ledger.log()) == 1
