"""The Guards port: breakers and limits hold up attempts, and let them pass again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.tasks.attempt import AttemptOutcome
from activityctl.domain.tasks.breaker import BreakerPolicy, BreakerStatus, WhileOpen
from activityctl.domain.tasks.guard import Guard
from activityctl.domain.tasks.limit import Limit, LimitState, permit
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError
from activityctl.operations.looking.get import ObjectViews
from activityctl.ports import BegunAttempt, BegunLookup, GuardedLookup, Hold, LookupEnd
from support.guarded import EARLY, LEASE, Bench, behind, limited
from support.run_store import ended, log_entry, save

MakeRun = Callable[..., Awaitable[Run]]
OPEN_FOR = timedelta(seconds=2)
"""Long enough that a slow machine does not let it pass unseen."""


@pytest_asyncio.fixture(loop_scope="session")
async def bench(ports: wiring.Ports, make_run: MakeRun) -> Bench:
    return Bench(ports, await make_run("k"))


async def test_a_limit_says_who_uses_it_and_what_waits(
    bench: Bench, apply: Callable[..., Any], define: Callable[..., Any]
):
    ports = bench.ports
    push = {"name": "push", "command": {"argv": ["true"]}, "limit": "crm"}
    limits = [{"name": "crm", "concurrency": 1}, {"name": "spare", "rate": 9, "per": "1m"}]
    await apply(define("pushing", tasks=[push], limits=limits))
    first, second = await bench.add(2, limited(concurrency=1))
    assert isinstance(await bench.begin(first), BegunAttempt)
    assert isinstance(await bench.begin(second), Hold)
    views = ObjectViews(ports)
    crm, spare = (await views.page("limits", None, Selection(limit=None))).views
    assert (crm["name"], crm["concurrency"], crm["rate"], crm["per"]) == ("crm", 1, None, None)
    assert (crm["atWork"], crm["waiting"], crm["usedBy"]) == (1, 1, ["definition/pushing"])
    assert crm["nextAt"] is not None
    assert (spare["rate"], spare["per"], spare["burst"]) == (9, "1m", 1)
    assert (spare["atWork"], spare["waiting"], spare["usedBy"]) == (0, 0, [])
    (waiting,) = (await views.describe("limits", "crm"))["waitingTasks"]
    assert (waiting["id"], waiting["name"]) == (second.id, "guarded")
    assert waiting["run"] == bench.run.id


async def test_failures_in_a_row_open_the_breaker_and_a_probe_closes_it(bench: Bench):
    tasks = await bench.add(5, behind(failures=3, open_for=OPEN_FOR))
    assert await bench.fail(tasks[0]) is None
    assert await bench.fail(tasks[0]) is None
    assert await bench.fail(tasks[1]) is BreakerStatus.OPEN
    hold = await bench.begin(tasks[2])
    assert isinstance(hold, Hold)
    assert (hold.task, hold.name, hold.is_breaker) == ("guarded", "api.example:8443", True)
    assert (hold.is_new, hold.fails, hold.reason) == (True, False, "3 failures in a row")
    assert 0 < hold.seconds <= OPEN_FOR.total_seconds()
    await until_open_is_over()
    probe = await bench.begin(tasks[2])
    assert isinstance(probe, BegunAttempt)
    assert probe.is_probe
    assert isinstance(await bench.begin(tasks[3]), Hold)
    again = await bench.begin(tasks[2])
    assert isinstance(again, BegunAttempt), "its worker was lost"
    assert again.is_probe
    await save(bench.ports, RunChange(bench.run, update=(ended(tasks[2], EARLY),)))
    change = await bench.ports.guards.settle(again.task, is_fault=False)
    assert change is not None
    assert (change.after.status, change.after.reason) == ("closed", "1 probe succeeded")
    begun = await bench.begin(tasks[3])
    assert isinstance(begun, BegunAttempt)
    assert not begun.is_probe


async def until_open_is_over() -> None:
    await asyncio.sleep(OPEN_FOR.total_seconds() + 0.1)


async def test_a_failed_probe_opens_the_breaker_again_and_a_stopped_one_gives_way(bench: Bench):
    tasks = await bench.add(4, behind(failures=1, open_for=OPEN_FOR, probes=2))
    assert await bench.fail(tasks[0]) is BreakerStatus.OPEN
    await until_open_is_over()
    first, second = await bench.begin(tasks[1]), await bench.begin(tasks[2])
    assert isinstance(first, BegunAttempt)
    assert isinstance(second, BegunAttempt)
    assert isinstance(await bench.begin(tasks[3]), Hold)
    await bench.ports.guards.settle(second.task, is_fault=None)
    assert isinstance(third := await bench.begin(tasks[3]), BegunAttempt)
    entry = log_entry(bench.run, "failed", datetime.now(UTC))
    await bench.ports.runs.fail_attempt(tasks[1].id, "no", entry)
    change = await bench.ports.guards.settle(first.task, is_fault=True)
    assert change is not None
    assert (change.after.status, change.after.reason) == ("open", "a probe failed")
    assert await bench.ports.guards.settle(third.task, is_fault=True) is None
    (breaker,) = await bench.ports.run_lists.breakers(Selection())
    assert (breaker.openings, breaker.probes) == (2, ())
    (told,) = await bench.ports.notices.gather(timedelta(0), timedelta(0), 10)
    assert (told.kind, told.subscription_id, told.count) == ("opened", bench.run.subscription_id, 2)
    assert [item["reason"] for item in told.items][1:] == ["a probe failed"]


async def test_refusals_and_successes_end_a_row_of_failures(bench: Bench):
    tasks = await bench.add(6, behind(failures=2))
    assert await bench.fail(tasks[0]) is None
    assert await bench.fail(tasks[0], is_fault=False) is None
    assert await bench.fail(tasks[1]) is None
    await bench.succeed(tasks[2])
    assert await bench.fail(tasks[3]) is None
    assert await bench.fail(tasks[4]) is BreakerStatus.OPEN


async def test_more_than_half_of_enough_attempts_open_the_breaker(bench: Bench):
    policy = {"failures": 100, "at_least": 4, "within": timedelta(seconds=60)}
    tasks = await bench.add(6, behind(**policy))
    await bench.succeed(tasks[0])
    assert await bench.fail(tasks[1]) is None
    await bench.succeed(tasks[2])
    assert await bench.fail(tasks[3]) is None, "half is not more than half"
    assert await bench.fail(tasks[4]) is BreakerStatus.OPEN
    (breaker,) = await bench.ports.run_lists.breakers(Selection())
    assert breaker.reason == "3 of 5 attempts failed"


async def test_breakers_are_apart_and_turned_by_hand(bench: Bench):
    guards = bench.ports.guards
    waits, fails = behind("a"), behind("b", while_open=WhileOpen.FAIL)
    (one,), (two,) = await bench.add(1, waits), await bench.add(1, fails)
    with pytest.raises(NotFoundError):
        await guards.turn_breaker("a", is_open=False, reason="x")
    for name in ("a", "b"):
        assert (await guards.turn_breaker(name, is_open=True, reason="moving")).after.reason
    hold, refusal = await bench.begin(one), await bench.begin(two)
    assert isinstance(hold, Hold)
    assert isinstance(refusal, Hold)
    assert (hold.fails, refusal.fails, refusal.reason) == (False, True, "moving")
    assert hold.seconds > 5, "until a person closes it"
    await guards.turn_breaker("a", is_open=False, reason="moved")
    assert isinstance(await bench.begin(one), BegunAttempt)
    found = await bench.ports.run_lists.breakers(Selection())
    assert [(each.name, each.status, each.reason) for each in found] == [
        ("a", "closed", "moved"),
        ("b", "open", "moving"),
    ]
    assert [each.name for each in await bench.ports.run_lists.breakers(Selection(name="b"))] == [
        "b"
    ]


async def test_a_rate_gives_each_task_its_time_in_the_order_of_arrival(bench: Bench):
    tasks = await bench.add(5, limited(rate=2, per=timedelta(seconds=10), burst=2))
    answers = [await bench.begin(task) for task in tasks]
    assert [isinstance(answer, BegunAttempt) for answer in answers] == [True, True, *[False] * 3]
    seconds = [answer.seconds for answer in answers if isinstance(answer, Hold)]
    assert [round(each) for each in seconds] == [5, 10, 15]
    again = await bench.begin(tasks[3])
    assert isinstance(again, Hold)
    assert (again.is_new, again.is_breaker, again.name) == (False, False, "crm")
    assert again.seconds == pytest.approx(seconds[1], abs=2), "it keeps its time"
    later = await bench.begin((await bench.add(1, limited(rate=2, per=timedelta(seconds=10))))[0])
    assert isinstance(later, Hold)
    assert later.seconds > 15


async def test_places_are_given_in_the_order_of_arrival_and_come_free(bench: Bench):
    tasks = await bench.add(5, limited(concurrency=2))
    answers = [await bench.begin(task) for task in tasks[:4]]
    assert [isinstance(answer, BegunAttempt) for answer in answers] == [True, True, False, False]
    entry = log_entry(bench.run, "failed", datetime.now(UTC))
    await bench.ports.runs.fail_attempt(tasks[0].id, "no", entry)
    assert isinstance(await bench.begin(tasks[4]), Hold), "two came before"
    assert isinstance(await bench.begin(tasks[3]), Hold)
    assert isinstance(await bench.begin(tasks[2]), BegunAttempt)
    await bench.ports.guards.forget(tasks[3].id)
    await save(bench.ports, RunChange(bench.run, update=(ended(tasks[1], EARLY),)))
    assert isinstance(await bench.begin(tasks[4]), BegunAttempt)


async def test_a_task_behind_both_passes_both_and_a_stopped_run_begins_nothing(bench: Bench):
    guard = Guard("both", BreakerPolicy(failures=1), Limit(name="crm", concurrency=1))
    first, second = await bench.add(2, guard)
    assert await bench.fail(first) is BreakerStatus.OPEN
    assert isinstance(hold := await bench.begin(second), Hold)
    assert hold.is_breaker
    await bench.ports.guards.turn_breaker("both", is_open=False, reason="well")
    assert isinstance(await bench.begin(second), BegunAttempt)
    assert isinstance(hold := await bench.begin(first), Hold)
    assert not hold.is_breaker
    await save(bench.ports, RunChange(replace(bench.run, status=RunStatus.CANCELLING)))
    assert await bench.begin(first) is None
    assert await bench.ports.guards.settle(first, is_fault=None) is None


@pytest.fixture
def database(
    ports: wiring.Ports, request: pytest.FixtureRequest
) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection of the owner; the test is about Postgres alone."""
    if not isinstance(ports, wiring.Ports):
        pytest.skip("about the statements of Postgres")
    url = request.getfixturevalue("empty_database_url")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("lost", ["16 seconds", "-1 hour"])  # Postgres' clock was set back
async def test_a_place_of_a_killed_worker_comes_free(
    bench: Bench, database: psycopg.Connection[Any], lost: str
):
    first, second = await bench.add(2, limited(concurrency=1))
    started = datetime.now(UTC)
    await bench.ports.workers.beat(WorkerBeat("far", "far", 7, "1", started))
    assert isinstance(await bench.begin(first, "worker far pid 7"), BegunAttempt)
    database.execute("UPDATE workers SET seen_at = clock_timestamp() - interval '14 seconds'")
    assert isinstance(await bench.begin(second), Hold)
    database.execute(f"UPDATE workers SET seen_at = clock_timestamp() - interval '{lost}'")
    assert isinstance(await bench.begin(second), BegunAttempt)


async def test_a_worker_whose_clock_is_wrong_changes_nothing(bench: Bench):
    tasks = await bench.add(3, limited(rate=1, per=timedelta(minutes=1)))
    bench.ahead = timedelta(hours=1)
    assert isinstance(await bench.begin(tasks[0]), BegunAttempt)
    bench.ahead = timedelta(hours=-1)
    held = [await bench.begin(task) for task in tasks[1:]]
    assert [round(hold.seconds / 60) for hold in held if isinstance(hold, Hold)] == [1, 2]


async def test_the_statement_decides_as_the_rules_do(
    bench: Bench, database: psycopg.Connection[Any]
):
    chance = random.Random(14)
    for round_number in range(40):
        limit = Limit(
            name=f"limit-{round_number}",
            rate=chance.choice([None, 1, 7]) or None,
            per=timedelta(seconds=10),
            burst=chance.choice([1, 3]),
            concurrency=chance.choice([None, 1, 3]) or 50,
        )
        task, *others = await bench.add(4, Guard(limit=limit))
        used, at_work, slot = (
            chance.choice([None, -60, -1, 4, 60]),
            chance.randrange(3),
            chance.choice([None, -60, -2, 30]),
        )
        database.execute(
            "INSERT INTO limits VALUES (%s, clock_timestamp() + %s * interval '1 second')",
            (limit.name, used),
        )
        for other in others[:at_work]:
            database.execute(
                "INSERT INTO attempts (task_id, number, worker, started_at, limit_name)"
                " VALUES (%s, 1, 'x', clock_timestamp(), %s)",
                (other.id, limit.name),
            )
        if slot is not None:
            database.execute(
                "INSERT INTO holds (task_id, limit_name, slot_at, look_at) VALUES (%s, %s,"
                " clock_timestamp() + %s * interval '1 second', clock_timestamp())",
                (task.id, limit.name, slot),
            )
        found = await bench.begin(task)
        now = datetime.now(UTC)
        moments = [None if each is None else now + timedelta(seconds=each) for each in (used, slot)]
        wanted = permit(limit, LimitState(moments[0], at_work, 0, moments[1]), now)
        case = f"round {round_number}: {limit}, {used}, {at_work}, {slot}"
        assert isinstance(found, Hold) == (wanted.look_again_at is not None), case
        if isinstance(found, Hold) and wanted.look_again_at is not None:
            wanted_seconds = (wanted.look_again_at - now).total_seconds()
            assert found.seconds == pytest.approx(wanted_seconds, abs=1), case


async def test_a_new_limit_is_kept_by_those_who_ask_it_first_together(bench: Bench):
    for number in range(20):
        tasks = await bench.add(6, Guard(limit=Limit(name=f"new-{number}", concurrency=2)))
        answers = await asyncio.gather(*(bench.begin(task) for task in tasks))
        assert sum(isinstance(answer, BegunAttempt) for answer in answers) == 2


async def test_a_lookup_shares_the_breaker_of_tasks(bench: Bench):
    guards = bench.ports.guards
    guard = behind(failures=3, open_for=OPEN_FOR)
    (task,) = await bench.add(1, guard)
    lookup = GuardedLookup(bench.run.id, "customer", guard)

    async def begin() -> BegunLookup | Hold:
        at = datetime.now(UTC)
        return await guards.begin_lookup(lookup, at, "here", lease=LEASE, chance=0.0)

    async def fail(number: int) -> BreakerStatus | None:
        begun = await begin()
        assert begun == BegunLookup(number)
        end = LookupEnd(number, False, AttemptOutcome.FAILED, True, "503", "unreachable")
        change = await guards.settle_lookup(lookup, end, datetime.now(UTC))
        return None if change is None else change.after.status

    assert await bench.fail(task) is None
    assert await fail(1) is None
    assert await fail(2) is BreakerStatus.OPEN
    hold = await begin()
    assert isinstance(hold, Hold)
    assert (hold.task, hold.is_breaker, hold.is_new) == ("customer", True, True)
    assert isinstance(await bench.begin(task), Hold)
    await until_open_is_over()
    assert await begin() == BegunLookup(3, is_probe=True)
    assert isinstance(await bench.begin(task), Hold), "the lookup probes"
    end = LookupEnd(3, True, AttemptOutcome.SUCCEEDED, False)
    change = await guards.settle_lookup(lookup, end, datetime.now(UTC))
    assert change is not None
    assert change.after.status is BreakerStatus.CLOSED
    attempts = await bench.ports.run_lists.attempts([lookup.id])
    assert [each.outcome.value for each in attempts] == ["failed", "failed", "succeeded"]
    assert isinstance(await bench.begin(task), BegunAttempt)


async def test_a_lookup_shares_the_places_of_a_limit(bench: Bench):
    guards, guard = bench.ports.guards, limited(concurrency=1)
    (task,) = await bench.add(1, guard)
    lookup = GuardedLookup(bench.run.id, "customer", guard)

    async def begin() -> BegunLookup | Hold:
        at = datetime.now(UTC)
        return await guards.begin_lookup(lookup, at, "here", lease=LEASE, chance=0.0)

    assert await begin() == BegunLookup(1)
    assert isinstance(await bench.begin(task), Hold)
    (use,) = await bench.ports.run_lists.limit_uses()
    assert (use.at_work, use.waiting) == (1, 1)
    end = LookupEnd(1, False, AttemptOutcome.STOPPED, None)
    assert await guards.settle_lookup(lookup, end, datetime.now(UTC)) is None
    assert isinstance(await bench.begin(task), BegunAttempt)
    hold = await begin()
    assert isinstance(hold, Hold)
    assert (hold.name, hold.is_breaker) == ("crm", False)
    (held,) = await bench.ports.run_lists.held_by_limit("crm", 10)
    assert (held.name, held.run_id) == ("context.customer", bench.run.id)
    await guards.forget(lookup.id)
    assert await bench.ports.run_lists.held_by_limit("crm", 10) == []
