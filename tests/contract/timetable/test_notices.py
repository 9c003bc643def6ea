"""The Notices port: what an outage missed is told once, and so is the first success after it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl.daemon.worker.notice_teller import NoticeTeller
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.auto_pause import StreakChange
from activityctl.domain.runs.notices import QUIET, failed_notice, is_notice
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest, firing_key
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
TELL = [{"name": "tell", "command": {"argv": ["true"]}}]
OFTEN = {"every": "10m", "misfire": {"policy": "skip"}}


async def tell(ledger: Any) -> list[tuple[str, dict[str, Any]]]:
    """Tell what is ready, by two workers; return the firings that tell it, and their payloads."""
    ports = ledger.ports
    teller = NoticeTeller(ports.notices, ports.events, ports.outbox, lambda: ledger.now)
    await teller.tell()
    await teller.tell()
    found = []
    async with ports.outbox.claimed(100) as claim:
        for firing in claim.firings:
            if not is_notice(firing.trigger):
                continue
            facts = await ports.runs.admission_input(firing)
            assert facts is not None
            assert [task.name for task in facts.spec.tasks] == ["tell"]
            found.append((firing.trigger, dict(facts.payload)))
        await claim.dispatched(claim.firings, ledger.now)
    return found


async def events(ledger: Any) -> list[dict[str, Any]]:
    found = await ledger.ports.events.events(Selection(limit=None))
    return [event.document["data"] for event in reversed(found)]


async def ended(ledger: Any, key: str, *, has_failed: bool, pauses: bool = False) -> str:
    """Let a run of the subscription fail or succeed; return its id."""
    firing = FiringRequest(ledger.owner, "manual", key, ledger.now).ref
    facts = await ledger.ports.runs.admission_input(firing)
    assert facts is not None
    (row, *_) = await ledger.rows()
    status = RunStatus.FAILED if has_failed else RunStatus.SUCCEEDED
    run = replace(row, id=firing.run_id, trigger="manual", firing_key=key, status=status)
    streak = StreakChange(has_failed, ledger.now, "150 failed" if pauses else None)
    notice = failed_notice(run, status, "no", ledger.now) if has_failed else None
    change = RunChange(run, streak=streak, notices=(notice,) if notice else ())
    await ledger.ports.runs.open(f"run/{key}", change)
    return str(run.id)


async def test_an_outage_is_told_once_and_so_is_the_recovery(ledger: Any) -> None:
    await ledger.apply(body=OFTEN, spec={"onMissed": TELL, "onRecovered": TELL})
    await ledger.at(NOON + 45 * MINUTE)
    await ledger.process_wake_up(NOON + 10 * MINUTE)
    assert await tell(ledger) == []  # more may come
    await ledger.at(ledger.now + QUIET)
    ((trigger, payload),) = await tell(ledger)
    assert (trigger, payload["count"]) == ("onMissed", 4)
    due = [firing_key(NOON + minutes * MINUTE) for minutes in (10, 20, 30, 40)]
    assert [item["dueAt"] for item in payload["missed"]] == due
    assert payload["missed"][0] == {
        "run": ids.run_id(ledger.owner, "often", due[0]),
        "trigger": "often",
        "dueAt": due[0],
        "reason": "decided 35m late; misfire policy skip",
    }
    for key in ("a", "b"):
        await ended(ledger, key, has_failed=True)
    # A resume begins the count of failures again; the subscription has not recovered by that.
    for status in (SubscriptionStatus.PAUSED, SubscriptionStatus.ACTIVE):
        await ledger.ports.catalog.set_subscription_status(ledger.owner, status, ledger.now)
    run = await ended(ledger, "c", has_failed=False)
    await ended(ledger, "d", has_failed=False)
    await ledger.at(ledger.now + QUIET)
    ((trigger, payload),) = await tell(ledger)
    assert trigger == "onRecovered"
    since = {"since": "2026-03-02T12:45:00.000Z", "failed": 2, "missed": 4}
    assert payload == {"run": run, "trigger": "manual", **since}
    missed, failed, recovered = await events(ledger)
    assert (missed["count"], failed["count"]) == (4, 2)
    assert recovered["run"] == run
    await ledger.at(ledger.now + MINUTE)
    assert await tell(ledger) == []


async def test_many_misses_are_bounded_and_told_after_a_minute_at_the_latest(ledger: Any) -> None:
    every_second = {"every": "1s", "misfire": {"policy": "skip"}}
    await ledger.apply(body=every_second, spec={"onMissed": TELL})
    await ledger.at(NOON + 40 * MINUTE)
    for minute in (0, 16, 33):  # a thousand at once
        await ledger.process_wake_up(NOON + minute * MINUTE + SECOND)
    due = len(await ledger.rows())
    assert due > 2000
    await ledger.at(ledger.now + QUIET)
    ((_, payload),) = await tell(ledger)
    assert payload["count"] == due
    assert len(payload["missed"]) == 100
    begun = ledger.now
    for _ in range(31):  # more miss all the time
        await ledger.at(ledger.now + 2 * SECOND)
        await ledger.process_wake_up(ledger.now - SECOND)
        if told := await tell(ledger):
            break
    assert told
    assert timedelta(minutes=1) <= ledger.now - begun <= timedelta(minutes=1, seconds=4)


async def test_what_another_worker_has_gathered_is_told_as_it_was(ledger: Any) -> None:
    """A worker that is killed after it has stored an event leaves the rest to others."""
    await ledger.apply(body=OFTEN, spec={"onMissed": TELL})
    await ledger.at(NOON + 15 * MINUTE)
    await ledger.process_wake_up(NOON + 10 * MINUTE)
    await ledger.at(ledger.now + QUIET)
    (before,) = await ledger.ports.notices.gather(QUIET, MINUTE, 10)
    await ledger.at(NOON + 25 * MINUTE)
    await ledger.process_wake_up(NOON + 20 * MINUTE)
    (again,) = await ledger.ports.notices.gather(QUIET, MINUTE, 10)
    assert again == before
    await ledger.at(ledger.now + QUIET)
    assert [payload["count"] for _, payload in await tell(ledger)] == [1, 1]
    assert len(await events(ledger)) == 2


async def test_failures_a_pause_and_a_breaker_are_told_by_events_alone(ledger: Any) -> None:
    await ledger.apply(body=OFTEN)
    await ledger.at(NOON + 15 * MINUTE)
    await ledger.process_wake_up(NOON + 10 * MINUTE)
    for number in range(150):
        await ended(ledger, f"k{number}", has_failed=True, pauses=number > 147)
    await ledger.at(ledger.now + QUIET)
    assert await tell(ledger) == []
    _, failed, paused = await events(ledger)
    assert (failed["count"], len(failed["runs"])) == (150, 100)
    assert failed["runs"][0]["reason"] == "no"
    assert paused["reason"] == "150 failed"
    assert (paused["subscription"], paused["labels"]) == ("mine", {})


async def test_without_tasks_only_the_event_is_stored(ledger: Any) -> None:
    await ledger.apply(body=OFTEN)
    await ledger.at(NOON + 15 * MINUTE)
    await ledger.process_wake_up(NOON + 10 * MINUTE)
    await ledger.at(ledger.now + QUIET)
    assert await tell(ledger) == []
    assert [data["count"] for data in await events(ledger)] == [1]
