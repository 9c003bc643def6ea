"""The Timetable port: firings that an outage kept from starting when they were to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.runs.admission import new_run, refusal_reason, refuse
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.timing.due_times import jitter_of
from activityctl.domain.timing.firing import FiringRef, FiringRequest, firing_key
from activityctl.ports import OpenResult

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY = 24 * HOUR
NOMINAL = NOON + HOUR
JITTERED = {"every": "1h", "jitter": "30m"}


def dispatched(ledger: Any, nominal: datetime = NOMINAL) -> FiringRef:
    """The firing with which the dispatcher starts a workflow."""
    return FiringRequest(ledger.owner, "often", firing_key(nominal), nominal).ref


def starts(ledger: Any, nominal: datetime = NOMINAL) -> datetime:
    return nominal + jitter_of(ledger.owner, "often", nominal, 30 * MINUTE)


async def waiting(ledger: Any, **body: Any) -> None:
    """Settle a firing that waits for its jitter or its window."""
    await ledger.apply(body={**JITTERED, **body})
    await ledger.at(NOMINAL)
    assert not await ledger.rings(NOMINAL)


async def begins(ledger: Any, at: datetime) -> bool:
    await ledger.at(at)
    return await ledger.ports.timetable.process_due(dispatched(ledger))


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
    facts = await ledger.ports.runs.admission_input(firing)
    assert facts is not None
    change = RunChange(new_run(firing, facts, ledger.now))
    assert await ledger.ports.runs.open(firing.workflow_id, change) is OpenResult.OPENED
    assert await begins(ledger, starts(ledger) + 5 * HOUR)
    assert [str(run.status) for run in await ledger.rows()] == ["queued"]


async def test_one_that_was_missed_is_told_of_once(ledger: Any) -> None:
    await waiting(ledger, misfire={"policy": "skip"})
    for _ in range(3):
        await begins(ledger, starts(ledger) + 31 * SECOND)
    assert len(await ledger.rows()) == len(await ledger.log()) == 1


# ---- maxFirings: what has been let go and never began counts no more


async def counted(ledger: Any) -> int:
    return int((await ledger.schedule()).fired)


async def test_what_was_cut_off_does_not_count_towards_max_firings(ledger: Any) -> None:
    await waiting(ledger, maxFirings=1, misfire={"policy": "skip"})
    assert (await counted(ledger), await ledger.next_at()) == (1, None)
    for _ in range(3):
        await begins(ledger, starts(ledger) + 31 * SECOND)
        assert (await counted(ledger), await ledger.next_at()) == (0, NOMINAL + HOUR)
    await ledger.at(NOMINAL + HOUR)
    await ledger.rings(NOMINAL + HOUR)
    assert (await counted(ledger), await ledger.next_at()) == (1, None)


async def test_what_is_made_up_for_counts_towards_max_firings(ledger: Any) -> None:
    await waiting(ledger, maxFirings=1)
    assert await begins(ledger, NOMINAL + 5 * HOUR)
    assert (await counted(ledger), await ledger.next_at()) == (1, None)


async def test_what_was_cut_off_before_the_trigger_changed_gives_nothing_back(ledger: Any) -> None:
    await waiting(ledger, maxFirings=1, misfire={"policy": "skip"})
    await ledger.apply(body={**JITTERED, "maxFirings": 2, "misfire": {"policy": "skip"}})
    await ledger.at(NOMINAL + HOUR)
    await ledger.rings(NOMINAL + HOUR)
    assert not await begins(ledger, ledger.now)
    assert [run.due_at for run in await ledger.rows()] == [NOMINAL]
    assert await counted(ledger) == 1


async def test_what_a_pause_kept_from_starting_does_not_count_towards_max_firings(
    ledger: Any,
) -> None:
    await waiting(ledger, maxFirings=2)
    await ledger.pause()
    await ledger.at(starts(ledger))
    firing = dispatched(ledger)
    assert await ledger.ports.timetable.process_due(firing)
    facts = await ledger.ports.runs.admission_input(firing)
    assert facts is not None
    reason = refusal_reason(firing, facts)
    assert reason is not None
    change = run_change(new_run(firing, facts, ledger.now), refuse(firing, reason), ledger.now)
    for opening in (OpenResult.OPENED, OpenResult.TAKEN):
        assert await ledger.ports.runs.open(firing.workflow_id, change) is opening
        assert await counted(ledger) == 0


async def test_a_later_firing_that_began_long_ago_follows_though_its_row_is_gone(
    ledger: Any,
) -> None:
    await waiting(
        ledger, endAt="2026-03-02T14:00:00Z", misfire={"policy": "fire_once", "window": "90d"}
    )
    later = dispatched(ledger, NOMINAL + HOUR)
    await ledger.at(NOMINAL + HOUR)
    await ledger.rings(NOMINAL + HOUR)
    facts = await ledger.ports.runs.admission_input(later)
    assert facts is not None
    begun = replace(
        new_run(later, facts, ledger.now), status=RunStatus.SUCCEEDED, started_at=ledger.now
    )
    ended = replace(begun, ended_at=ledger.now)
    await ledger.ports.runs.open(later.workflow_id, RunChange(ended))
    await ledger.at(NOMINAL + 1.5 * HOUR)
    await ledger.dispatch()
    await ledger.at(NOMINAL + 60 * DAY)
    assert await ledger.ports.outbox.remove(30 * DAY, 10) == 1
    assert not await ledger.ports.timetable.process_due(dispatched(ledger))
