"""A backfill chooses past times without a run, gives a reason for the others, and ends."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.runs import backfill as module
from activityctl.domain.runs.backfill import (
    MOST_FIRINGS,
    Backfill,
    BackfillChoice,
    BackfillProgress,
    PastTimes,
    choose,
    nominals_between,
    progress_view,
)
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.timing.trigger import Trigger, trigger_of
from activityctl.domain.values.ids import SubscriptionId
from activityctl.domain.values.moment import DaySpan
from activityctl.errors import RefusedError

FIRST = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAYS = tuple(FIRST + timedelta(days=number) for number in range(5))
LAST = DAYS[-1]
LATER = LAST + timedelta(days=30)


def daily(**body: Any) -> Trigger:
    return trigger_of("cron", {"schedule": "0 8 * * *", **body})


def chosen(
    trigger: Trigger | None = None, *, only_missed: bool = False, **past: Any
) -> BackfillChoice:
    known = PastTimes(**{"decided_until": LATER, **past})
    days = {"holidays": (DaySpan(date(2026, 3, 2), date(2026, 3, 2)),)}
    return choose(trigger or daily(), DAYS, known, days, only_missed=only_missed)


def test_both_ends_of_the_range_count():
    assert nominals_between(daily(), FIRST, LAST) == DAYS
    moment = timedelta(microseconds=1)
    assert nominals_between(daily(), FIRST + moment, LAST - moment) == DAYS[1:-1]


def test_the_triggers_own_start_and_end_bound_the_range():
    bounded = daily(startAt="2026-03-02T00:00:00Z", endAt="2026-03-03T08:00:00Z")
    assert nominals_between(bounded, FIRST, LAST) == DAYS[1:3]


def test_a_range_with_too_many_times_is_refused_with_a_hint(monkeypatch: Any):
    monkeypatch.setattr(module, "MOST_LOOKED_AT", 4)
    with pytest.raises(RefusedError, match="due more than 4 times") as refused:
        nominals_between(daily(), FIRST, LAST)
    assert "--since" in str(refused.value.hint)


def test_times_without_a_run_are_chosen():
    assert chosen() == BackfillChoice(DAYS, ())


def test_a_time_with_a_run_is_left_out_unless_it_was_missed():
    for status in RunStatus:
        found = chosen(runs={FIRST: frozenset({status})})
        if status is RunStatus.MISSED:
            assert found.to_run == DAYS
        else:
            assert found.to_run == DAYS[1:]
            assert found.left_out == ((FIRST, f"has a run: {status}"),)


def test_a_missed_time_that_was_run_later_is_left_out():
    runs = {FIRST: frozenset({RunStatus.MISSED, RunStatus.FAILED})}
    for only_missed in (True, False):
        found = chosen(runs=runs, only_missed=only_missed)
        assert (FIRST, "has a run: failed") in found.left_out


def test_only_missed_chooses_only_missed_times():
    runs = {DAYS[1]: frozenset({RunStatus.MISSED}), DAYS[2]: frozenset({RunStatus.SUCCEEDED})}
    found = chosen(runs=runs, only_missed=True)
    assert found.to_run == (DAYS[1],)
    assert dict(found.left_out)[DAYS[0]] == "was not missed"


def test_times_that_the_schedule_starts_or_has_not_decided_are_left_out():
    found = chosen(firing=frozenset({DAYS[0]}), decided_until=DAYS[2])
    assert found.to_run == DAYS[1:3]
    assert dict(found.left_out) == {
        DAYS[0]: "is about to run",
        DAYS[3]: "not decided yet; left to its schedule",
        DAYS[4]: "not decided yet; left to its schedule",
    }


def test_times_that_a_backfill_holds_are_chosen_again():
    assert chosen(held=frozenset(DAYS)).to_run == DAYS


def test_excluded_times_and_times_outside_a_window_are_left_out():
    found = chosen(daily(exclude={"calendars": ["holidays"]}))
    assert found.left_out == ((DAYS[1], "skipped: excluded: 2026-03-02 (calendar holidays)"),)
    outside = {"from": "09:00", "to": "10:00", "outside": "miss"}
    assert chosen(daily(window=outside)).to_run == ()
    assert chosen(daily(window={**outside, "outside": "wait"})).to_run == DAYS


def test_a_backfill_of_too_many_firings_is_refused():
    secondly = trigger_of("interval", {"every": "1s"})
    times = nominals_between(secondly, FIRST, FIRST + timedelta(seconds=MOST_FIRINGS))
    with pytest.raises(RefusedError, match="more than 10,000 firings"):
        choose(secondly, times, PastTimes(LATER), {}, only_missed=False)
    assert (
        len(choose(secondly, times[1:], PastTimes(LATER), {}, only_missed=False).to_run) == 10_000
    )


def request(first: datetime = FIRST, last: datetime = LAST, **changes: Any) -> Backfill:
    wanted = {"trigger": "daily", "max_parallel": 1, **changes}
    return Backfill(SubscriptionId("s"), first=first, last=last, **wanted)


def test_the_firing_of_a_time_is_the_same_in_every_backfill_of_the_trigger():
    first, other = request(), request(last=LATER, max_parallel=7)
    assert first.id != other.id
    assert first.firing(FIRST) == other.firing(FIRST)
    assert first.firing(FIRST).firing_key == "backfill-2026-03-01T08:00:00Z"
    assert first.firing(FIRST).due_at == FIRST
    assert request(max_parallel=9).id == first.id


def test_progress_is_over_when_every_run_has_ended_and_nothing_is_held():
    done = {RunStatus.SUCCEEDED: 2, RunStatus.TIMED_OUT: 1, RunStatus.SKIPPED: 1}
    assert BackfillProgress(runs=done).is_over
    assert BackfillProgress(runs=done).failed == 1
    assert BackfillProgress().is_over
    assert BackfillProgress(cancelled=3, runs=done).is_over
    for counts in ({"held": 1}, {"starting": 1}, {"runs": {RunStatus.QUEUED: 1}}):
        assert not BackfillProgress(**counts).is_over


def test_the_counts_of_the_json_view_add_up_to_the_total():
    found = BackfillProgress(2, 3, 4, {RunStatus.CANCELLED: 5, RunStatus.RUNNING: 6})
    view = progress_view(found)
    assert view.pop("total") == 20 == sum(view.values())
    assert view["cancelled"] == 8
