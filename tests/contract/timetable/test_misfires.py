"""The Timetable port: a firing that did not start has a row, a reason and a log entry."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.values.selection import Selection

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def misfire(policy: str, window: str = "1d", every: str = "10m") -> dict[str, Any]:
    return {"every": every, "misfire": {"policy": policy, "window": window}}


@pytest.fixture
def outage(ledger: Any) -> Any:
    """Return a function that decides four times of a trigger, five minutes after the last."""

    async def run_outage(policy: str, window: str = "1d") -> Any:
        await ledger.apply(body=misfire(policy, window))
        await ledger.at(NOON + 45 * MINUTE)
        await ledger.process_wake_up(NOON + 10 * MINUTE)
        await ledger.dispatch()
        return ledger

    return run_outage


async def test_skip_misses_all_late_firings(outage: Any) -> None:
    ledger = await outage("skip")
    assert ledger.started == []
    assert await ledger.reasons() == [
        "12:10:00 missed: decided 35m late; misfire policy skip",
        "12:20:00 missed: decided 25m late; misfire policy skip",
        "12:30:00 missed: decided 15m late; misfire policy skip",
        "12:40:00 missed: decided 5m late; misfire policy skip",
    ]


async def test_fire_once_runs_the_latest(outage: Any) -> None:
    ledger = await outage("fire_once")
    assert [firing.due for firing in ledger.started] == [NOON + 40 * MINUTE]
    assert [f"{run.due_at:%H:%M}" for run in await ledger.rows()] == ["12:10", "12:20", "12:30"]


async def test_fire_all_runs_each_within_the_window(outage: Any) -> None:
    ledger = await outage("fire_all", "20m")
    assert [firing.due for firing in ledger.started] == [NOON + 30 * MINUTE, NOON + 40 * MINUTE]
    assert await ledger.reasons() == [
        "12:10:00 missed: decided 35m late, over the misfire window of 20m",
        "12:20:00 missed: decided 25m late, over the misfire window of 20m",
    ]


async def test_cron_misfires_like_an_interval(ledger: Any) -> None:
    body = {"schedule": "*/10 * * * *", "misfire": {"policy": "fire_once"}}
    await ledger.apply("cron", body)
    await ledger.at(NOON + 45 * MINUTE)
    await ledger.process_alarm(NOON + 40 * MINUTE)
    assert list((await ledger.outcomes()).values()) == ["missed"] * 3 + ["fires"]


async def test_the_row_of_a_missed_run_has_its_params_and_revision(ledger: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"region": {"type": "string", "default": "eu"}, "size": {"type": "number"}},
    }
    await ledger.apply(body=misfire("skip"), spec={"params": schema}, params={"size": 3})
    await ledger.at(NOON + 15 * MINUTE)
    assert not await ledger.process_wake_up(NOON + 10 * MINUTE)
    (run,) = await ledger.rows()
    assert run.params == {"region": "eu", "size": 3}
    assert (run.subscription, run.definition, run.trigger) == ("mine", "digest", "often")
    assert (run.firing_key, run.due_at) == ("2026-03-02T12:10:00Z", NOON + 10 * MINUTE)
    assert (run.created_at, run.ended_at, run.started_at) == (ledger.now, ledger.now, None)
    assert await ledger.ports.run_lists.workflow_of(run.id) is None  # none was ever started
    (revision,) = await ledger.ports.catalog.revisions(Selection(name="digest"))
    assert run.revision_id == revision.id


async def test_the_log_has_the_reason_of_a_missed_run(ledger: Any) -> None:
    await ledger.apply(body=misfire("skip"))
    await ledger.at(NOON + 15 * MINUTE)
    await ledger.process_wake_up(NOON + 10 * MINUTE)
    (run,), (entry,) = await ledger.rows(), await ledger.log()
    assert (entry.run_id, entry.level) == (run.id, "warning")
    assert entry.message == "run missed: decided 5m late; misfire policy skip"
    assert entry.created_at == ledger.now


async def test_firings_on_excluded_days_or_outside_a_window_are_skipped_with_reasons(
    ledger: Any,
) -> None:
    body = {
        "schedule": "0 */6 * * *",
        "exclude": {"calendars": ["holidays"]},
        "window": {"from": "06:00", "to": "13:00", "outside": "skip"},
    }
    holidays = DayCalendar.model_validate_json(
        '{"metadata": {"name": "holidays"}, "spec": {"days": ["2026-03-03"]}}'
    )
    await ledger.write(ManifestSet({}, {}, {}, calendars={"holidays": holidays}))
    await ledger.apply("cron", body)
    for hours in range(6, 49, 6):
        await ledger.at(NOON + hours * HOUR)
        await ledger.process_alarm(ledger.now)
    excluded = "skipped: excluded: 2026-03-03 (calendar holidays)"
    assert await ledger.reasons() == [
        "18:00:00 skipped: outside its window (06:00-13:00 UTC)",
        *(f"{hour} {excluded}" for hour in ("00:00:00", "06:00:00", "12:00:00", "18:00:00")),
        "00:00:00 skipped: outside its window (06:00-13:00 UTC)",
    ]
    assert [f"{firing.due:%dT%H}" for firing in ledger.started] == ["04T06", "04T12"]
    assert {entry.level for entry in await ledger.log()} == {"info"}


async def test_a_firing_outside_a_window_may_be_missed(ledger: Any) -> None:
    window = {"from": "06:00", "to": "13:00", "outside": "miss"}
    await ledger.apply(body={"every": "6h", "window": window})
    await ledger.at(NOON + 6 * HOUR)
    assert not await ledger.process_alarm(NOON + 6 * HOUR)
    assert await ledger.reasons() == ["18:00:00 missed: outside its window (06:00-13:00 UTC)"]


@pytest.mark.parametrize(("policy", "running"), [("skip", 1), ("fire_once", 1), ("fire_all", 2500)])
async def test_thousands_of_due_times_have_one_outcome_each(
    ledger: Any, policy: str, running: int
) -> None:
    body = misfire(policy, every="1s")
    await ledger.apply(body=body)
    await ledger.at(NOON + 2500 * SECOND)
    assert await ledger.process_wake_up(ledger.now), "the last of them is due now"
    await ledger.dispatch()
    outcomes = await ledger.outcomes()
    assert sorted(outcomes) == ledger.due("interval", body, NOON)
    assert list(outcomes.values()).count("fires") == running
    assert outcomes[ledger.now] == "fires"
    assert await ledger.next_at() == ledger.now + SECOND
    assert len(await ledger.log()) <= 3, "one entry for each thousand"


async def test_an_existing_row_is_not_changed(ledger: Any) -> None:
    """As after a restore of Postgres to an older cursor."""
    await ledger.apply(body=misfire("skip"))
    await ledger.at(NOON + 15 * MINUTE)
    await ledger.process_wake_up(NOON + 10 * MINUTE)
    before = await ledger.rows()
    await ledger.at(NOON + 16 * MINUTE)
    await ledger.process_wake_up(NOON + 10 * MINUTE)
    assert await ledger.rows() == before
    assert len(await ledger.log()) == 1
