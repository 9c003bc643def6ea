"""The Timetable port: decided firings that did not start in time because of an outage."""

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
    """Return the firing with which the dispatcher starts a workflow."""
    return FiringRequest(ledger.owner, "often", firing_key(nominal), nominal).ref


def starts(ledger: Any, nominal: datetime = NOMINAL) -> datetime:
    return nominal + jitter_of(ledger.owner, "often", nominal, 30 * MINUTE)


async def decide_waiting(ledger: Any, **body: Any) -> None:
    """Decide a firing that waits for its jitter or its window."""
    await ledger.apply(body={**JITTERED, **body})
    await ledger.at(NOMINAL)
    assert not await ledger.process_alarm(NOMINAL)


async def begins(ledger: Any, at: datetime) -> bool:
    """Return whether the dispatched firing may begin at that time."""
    await ledger.at(at)
    return await ledger.ports.timetable.process_due(dispatched(ledger))


@pytest.mark.parametrize("policy", ["skip", "fire_once", "fire_all"])
async def test_a_firing_within_the_grace_is_on_time(ledger: Any, policy: str) -> None:
    await decide_waiting(ledger, misfire={"policy": policy, "window": "1s"})
    assert await begins(ledger, starts(ledger) + 30 * SECOND)
    assert await ledger.rows() == []


async def test_skip_misses_a_late_firing(ledger: Any) -> None:
    await decide_waiting(ledger, misfire={"policy": "skip"})
    at = starts(ledger) + 31 * SECOND
    assert not await begins(ledger, at)
    (run,) = await ledger.rows()
    assert (str(run.status), run.due_at, run.ended_at) == ("missed", NOMINAL, at)
    assert str(run.reason).endswith("; misfire policy skip")
    (entry,) = await ledger.log()
    assert (entry.run_id, entry.message) == (run.id, f"run missed: {run.reason}")


async def test_fire_once_runs_only_the_latest(ledger: Any) -> None:
    await decide_waiting(ledger, misfire={"policy": "fire_once"})
    assert await begins(ledger, NOMINAL + 59 * MINUTE)
    assert not await begins(ledger, NOMINAL + HOUR)
    (run,) = await ledger.rows()
    assert "misfire policy fire_once: a later firing runs" in str(run.reason)


async def test_fire_all_runs_a_firing_within_the_misfire_window(ledger: Any) -> None:
    await decide_waiting(ledger, misfire={"policy": "fire_all", "window": "5h"})
    assert await begins(ledger, NOMINAL + 5 * HOUR)
    assert not await begins(ledger, NOMINAL + 5 * HOUR + SECOND)
    (run,) = await ledger.rows()
    assert "over the misfire window of 5h" in str(run.reason)


async def test_a_late_firing_starts_inside_its_window_or_not_at_all(ledger: Any) -> None:
    window = {"from": "15:00", "to": "16:00"}
    await ledger.apply(body={"every": "1h", "window": window, "misfire": {"policy": "fire_all"}})
    await ledger.at(NOMINAL)
    assert not await ledger.process_alarm(NOMINAL)
    assert await begins(ledger, NOON + 3.5 * HOUR)
    assert not await begins(ledger, NOON + 4 * HOUR)
    (run,) = await ledger.rows()
    assert run.reason == (
        "not started in time, 1h late; a firing now would be outside its window (15:00-16:00 UTC)"
    )


async def test_a_run_that_has_begun_continues(ledger: Any) -> None:
    """Its workflow asks again, because the worker died before it got the answer."""
    await decide_waiting(ledger, misfire={"policy": "skip"})
    firing = dispatched(ledger)
    assert await begins(ledger, starts(ledger))
    facts = await ledger.ports.runs.admission_input(firing)
    assert facts is not None
    change = RunChange(new_run(firing, facts, ledger.now))
    assert await ledger.ports.runs.open(firing.workflow_id, change) is OpenResult.OPENED
    assert await begins(ledger, starts(ledger) + 5 * HOUR)
    assert [str(run.status) for run in await ledger.rows()] == ["queued"]


async def test_a_missed_firing_has_one_row_and_one_log_entry(ledger: Any) -> None:
    await decide_waiting(ledger, misfire={"policy": "skip"})
    for _ in range(3):
        await begins(ledger, starts(ledger) + 31 * SECOND)
    assert len(await ledger.rows()) == len(await ledger.log()) == 1


async def counted(ledger: Any) -> int:
    return int((await ledger.schedule()).fired)


async def test_a_firing_that_never_began_does_not_count_for_max_firings(ledger: Any) -> None:
    await decide_waiting(ledger, maxFirings=1, misfire={"policy": "skip"})
    assert (await counted(ledger), await ledger.next_at()) == (1, None)
    for _ in range(3):
        await begins(ledger, starts(ledger) + 31 * SECOND)
        assert (await counted(ledger), await ledger.next_at()) == (0, NOMINAL + HOUR)
    await ledger.at(NOMINAL + HOUR)
    await ledger.process_alarm(NOMINAL + HOUR)
    assert (await counted(ledger), await ledger.next_at()) == (1, None)


async def test_a_late_firing_that_runs_counts_for_max_firings(ledger: Any) -> None:
    await decide_waiting(ledger, maxFirings=1)
    assert await begins(ledger, NOMINAL + 5 * HOUR)
    assert (await counted(ledger), await ledger.next_at()) == (1, None)


async def test_a_firing_missed_after_a_trigger_change_does_not_lower_the_new_count(
    ledger: Any,
) -> None:
    await decide_waiting(ledger, maxFirings=1, misfire={"policy": "skip"})
    await ledger.apply(body={**JITTERED, "maxFirings": 2, "misfire": {"policy": "skip"}})
    await ledger.at(NOMINAL + HOUR)
    await ledger.process_alarm(NOMINAL + HOUR)
    assert not await begins(ledger, ledger.now)
    assert [run.due_at for run in await ledger.rows()] == [NOMINAL]
    assert await counted(ledger) == 1


async def test_a_firing_missed_after_an_apply_that_only_pauses_lowers_the_count(
    ledger: Any,
) -> None:
    """The trigger is the same as before, so the firing is still in its count."""
    await decide_waiting(ledger, maxFirings=1, misfire={"policy": "skip"})
    body = {**JITTERED, "maxFirings": 1, "misfire": {"policy": "skip"}}
    await ledger.apply(body=body, paused=True)
    assert not await begins(ledger, starts(ledger) + 31 * SECOND)
    assert [run.due_at for run in await ledger.rows()] == [NOMINAL]
    assert await counted(ledger) == 0


async def test_a_firing_that_a_pause_prevented_does_not_count_for_max_firings(
    ledger: Any,
) -> None:
    await decide_waiting(ledger, maxFirings=2)
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


async def test_a_later_firing_counts_as_later_even_if_its_row_was_removed(
    ledger: Any,
) -> None:
    await decide_waiting(
        ledger, endAt="2026-03-02T14:00:00Z", misfire={"policy": "fire_once", "window": "90d"}
    )
    later = dispatched(ledger, NOMINAL + HOUR)
    await ledger.at(NOMINAL + HOUR)
    await ledger.process_alarm(NOMINAL + HOUR)
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


async def reads_ahead(ledger: Any, at: datetime) -> bool:
    """Return whether a claim at that time reads what the admission needs; memory never does."""
    await ledger.at(at)
    async with ledger.ports.outbox.claimed(10) as claim:
        assert claim.firings == [dispatched(ledger)]
        return bool(claim.facts)


LATE = {
    "skip": ({"policy": "skip"}, [True, False, False]),
    "latest": ({"policy": "fire_once"}, [True, True, False]),
    "window": ({"policy": "fire_all", "window": "50m"}, [True, True, False]),
    "all": ({"policy": "fire_all"}, [True, True, True]),
}


@pytest.mark.parametrize("name", LATE)
async def test_a_claim_reads_ahead_only_for_what_surely_starts(ledger: Any, name: str) -> None:
    """A firing that waits in a large burst is admitted with as few statements as the first ones."""
    misfire, expected = LATE[name]
    await decide_waiting(ledger, misfire=misfire)
    begin = starts(ledger)
    times = (begin + 20 * SECOND, begin + 27 * SECOND, max(begin + HOUR, NOMINAL + HOUR))
    found = [await reads_ahead(ledger, at) for at in times]
    assert found in (expected, [False] * 3)
    assert any(found) or not hasattr(ledger.clock, "ticking")  # of Postgres
