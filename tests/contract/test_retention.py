"""Retention in Postgres: what is old goes, what is needed stays, a few rows at a time."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.dead_letter import DeadLetter, LetterRequest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.domain.values.retention import Keep, RetainedKind
from activityctl.domain.values.selection import Selection
from activityctl.operations.runs.retention import preview, sweep
from activityctl.ports import Spend

pytestmark = pytest.mark.parametrize("ports", ["postgres"], indirect=True)  # only there

MakeRun = Callable[..., Awaitable[Run]]
DAY = timedelta(days=1)
NOW = datetime.now(UTC)
ENDED = RunStatus.SUCCEEDED
EVERYTHING = Selection(limit=None)


async def removed(ports: wiring.Ports, batch: int = 2, **policy: Keep) -> dict[RetainedKind, int]:
    """Sweep; return how many of each kind went. A preview says the same before."""
    expected = await preview(ports.retention, policy)  # type: ignore[arg-type]
    counts: dict[RetainedKind, int] = dict.fromkeys(expected, 0)

    def count(kind: RetainedKind, number: int) -> None:
        counts[kind] += number

    await sweep(ports.retention, policy, count, batch=batch, pause=0)  # type: ignore[arg-type]
    assert {kind: rows.going for kind, rows in expected.items()} == counts
    return counts


async def keys(ports: wiring.Ports) -> set[str]:
    return {run.firing_key for run in await ports.run_lists.runs(EVERYTHING)}


async def test_old_runs_go_with_all_that_is_theirs(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription
):
    for days in range(1, 8):
        run = await make_run(f"k{days}", at=NOW - days * DAY, status=ENDED, tasks=2)
        await ports.outbox.add([FiringRequest(mine.id, "manual", f"k{days}", run.due_at)], NOW)
        async with ports.outbox.claimed(10) as claim:
            await claim.dispatched(claim.firings, NOW)
    await make_run("open", at=NOW - 9 * DAY)
    await make_run("new", at=NOW, status=ENDED)
    assert await removed(ports, runs=Keep(timedelta(days=4, hours=12))) == {"runs": 3}
    assert await keys(ports) == {"k1", "k2", "k3", "k4", "open", "new"}
    assert len(await ports.run_lists.tasks(EVERYTHING)) == 2 * 4 + 2
    assert await removed(ports, runs=Keep(count=3)) == {"runs": 2}
    assert await keys(ports) == {"k1", "k2", "open", "new"}
    assert await removed(ports, tasks=Keep(DAY / 2), attempts=Keep(DAY / 2)) == {
        "tasks": 2,
        "attempts": 0,
    }
    assert await removed(ports, runs=Keep(count=1)) == {"runs": 2}  # the newest hour stays
    assert await keys(ports) == {"open", "new"}


async def test_what_is_needed_stays(ports: wiring.Ports, make_run: MakeRun, mine: Subscription):
    failed = await make_run("failed", at=NOW - 9 * DAY, status=RunStatus.FAILED)
    letter = DeadLetter(ids.dead_letter_id(failed.id), failed.id, mine.id, "why", failed.due_at)
    async with ports.runs.locked(failed.id) as locked:
        await locked.save(RunChange(failed, dead_letter=letter))
    policy = {"runs": Keep(DAY), "tasks": Keep(DAY), "deadletters": Keep(DAY)}
    held = await preview(ports.retention, policy)  # type: ignore[arg-type]
    assert {kind: rows.held for kind, rows in held.items()} == dict.fromkeys(policy, 1)
    assert set((await removed(ports, **policy)).values()) == {0}
    await ports.letters.discard([letter.id], LetterRequest("ann", "done"), NOW)
    retry = await make_run("retry", at=NOW - 8 * DAY, status=RunStatus.RUNNING, replay_of=failed.id)
    assert await removed(ports, runs=Keep(DAY), tasks=Keep(DAY)) == {"runs": 0, "tasks": 0}
    async with ports.runs.locked(retry.id) as locked:
        await locked.save(RunChange(replace(retry, status=ENDED, ended_at=NOW - 7 * DAY)))
    assert await removed(ports, runs=Keep(DAY)) == {"runs": 1}
    assert await removed(ports, deadletters=Keep(DAY), runs=Keep(DAY)) == {
        "deadletters": 1,
        "runs": 1,
    }
    assert await keys(ports) == set()


async def test_log_entries_go_by_age_and_number_but_not_those_of_open_runs(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription
):
    run = await make_run("open", at=NOW)
    ages = (9, 8, 7, 3, 2, 1)
    entries = [LogEntry(mine.id, None, str(days), "info", NOW - days * DAY) for days in ages]
    await ports.logbook.append([replace(entries[0], run_id=run.id, message="of a run"), *entries])

    async def messages() -> list[str]:
        found, _ = await ports.logbook.page(LogFilter((mine.id,)), Cursor(), limit=99)
        return [entry.message for entry in found]

    assert await removed(ports, logs=Keep(7 * DAY + DAY / 2)) == {"logs": 2}
    assert await removed(ports, logs=Keep(count=2)) == {"logs": 2}
    assert await messages() == ["of a run", "2", "1"]
    assert await removed(ports, logs=Keep(30 * DAY, 99)) == {"logs": 0}


async def test_audit_and_spends_are_forgotten_within_their_bounds(
    ports: wiring.Ports, mine: Subscription
):
    for days in (1, 29, 31, 399, 401, 500):
        at = NOW - days * DAY
        await ports.audit.add([AuditEntry(f"a{days}", at, "me", "emit", "", "done")])
        spend = Spend(f"r{days}", mine.id, {"native": days}, at)
        assert await ports.spends.reserve(spend, (), lambda _sums: None) is None
    database = ports._database
    for key, days in (("open", 450), ("gone", 450), ("young", 10)):
        await database.fetch(
            """INSERT INTO signed_calls (hook_key, request_id, subscription_id, at)
               VALUES (%(key)s, %(key)s, %(owner)s, %(at)s) RETURNING 1""",
            key=key,
            owner=mine.id,
            at=NOW - days * DAY,
        )
    await database.fetch(
        """INSERT INTO hooks (key, subscription_id, run_id, request_id, payload, created_at)
           VALUES ('open', %(owner)s, 'r', 'q', '{}', now()) RETURNING 1""",
        owner=mine.id,
    )
    policy = {"audit": Keep(200 * DAY), "spends": Keep(450 * DAY)}
    assert await removed(ports, **policy) == {"audit": 3, "spends": 1 + 1}
    found = await preview(ports.retention, {"spends": Keep(400 * DAY)})
    assert (found["spends"].going, found["spends"].held) == (1, 1)
    for kind in ("audit", "spends"):  # whatever age is asked for, the functions have their bounds
        await ports.retention.remove(kind, Keep(timedelta(0)), None, None, 100)
    assert {entry.id for entry in await ports.audit.entries(EVERYTHING)} == {"a1", "a29"}
    rows = await database.fetch("SELECT request_id FROM spends")
    assert {row["request_id"] for row in rows} == {"r1", "r29", "r31", "r399"}
    signed = await database.fetch("SELECT hook_key FROM signed_calls")
    assert {row["hook_key"] for row in signed} == {"open", "young"}
