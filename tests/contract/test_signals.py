"""The Signals port: payloads arrive within a second; each second without one yields ""."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

from activityctl import wiring
from activityctl.adapters.postgres.signals import _SORT_IN_FILE
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.log import LogEntry
from activityctl.ports import LOG_CHANNEL, WORK_CHANNEL

MakeRun = Callable[..., Awaitable[Run]]


async def next_of(payloads: AsyncIterator[str]) -> str:
    """Return the next payload that is no silence; fail when none arrives in time."""
    async with asyncio.timeout(60):
        while not (payload := await anext(payloads)):
            pass
        return payload


async def test_an_appended_entry_is_signalled(ports: wiring.Ports, now: datetime):
    async with ports.signals.listening(LOG_CHANNEL) as payloads:
        await ports.logbook.append([LogEntry("s", None, "m", "info", now) for _ in range(3)])
        assert await next_of(payloads) == "s"


async def test_a_waiting_listener_is_woken(ports: wiring.Ports, now: datetime):
    async with ports.signals.listening(LOG_CHANNEL) as payloads:
        waiting = asyncio.create_task(next_of(payloads))
        await asyncio.sleep(0.1)
        await ports.logbook.append([LogEntry("s", None, "m", "info", now)])
        assert await waiting == "s"


async def test_no_payload_between_two_reads_is_lost(ports: wiring.Ports, now: datetime):
    async with ports.signals.listening(LOG_CHANNEL) as payloads:
        for name in ("a", "b", "c"):
            await ports.logbook.append([LogEntry(name, None, "m", "info", now)])
        heard = [await next_of(payloads) for _ in range(3)]
        assert heard == ["a", "b", "c"]


async def test_every_listener_gets_the_payload(ports: wiring.Ports, now: datetime):
    channel = LOG_CHANNEL
    async with (
        ports.signals.listening(channel) as first,
        ports.signals.listening(channel) as second,
    ):
        await ports.logbook.append([LogEntry("s", None, "m", "info", now)])
        assert (await next_of(first), await next_of(second)) == ("s", "s")


async def test_each_second_of_silence_yields_an_empty_text(ports: wiring.Ports, now: datetime):
    before = time.monotonic()
    async with ports.signals.listening("activityctl_other") as payloads, asyncio.timeout(60):
        await ports.logbook.append([LogEntry("s", None, "m", "info", now)])
        assert await anext(payloads) == ""
        assert time.monotonic() - before > 0.8


async def test_firings_cancellations_and_pauses_are_signalled_to_workers(
    ports: wiring.Ports, mine: Subscription, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    async with ports.signals.listening(WORK_CHANNEL) as payloads:
        await ports.outbox.add([FiringRequest(mine.id, "manual", "other", now)], now)
        assert await next_of(payloads) == "firing"
        await ports.runs.request_cancel(run.id, now)
        assert await next_of(payloads) == "cancel"
        await ports.catalog.set_subscription_status(mine.id, SubscriptionStatus.PAUSED, now)
        assert await next_of(payloads) == "schedules"


async def test_an_apply_wakes_the_workers_unless_it_changes_nothing(
    ports: wiring.Ports,
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
):
    async with ports.signals.listening(WORK_CHANNEL) as payloads:
        await apply(define("digest"), subscribe("yours"))
        assert await next_of(payloads) == "schedules"
        await apply(define("digest"), subscribe("yours"))
        async with asyncio.timeout(60):
            assert await anext(payloads) == ""


async def test_log_entries_of_a_locked_run_are_signalled_at_commit(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    entry = LogEntry(run.subscription_id, run.id, "m", "info", now)
    async with ports.signals.listening(LOG_CHANNEL) as payloads:
        async with ports.runs.locked(run.id) as locked:
            await locked.save(RunChange(run, entries=(entry,)))
            waiting = asyncio.create_task(next_of(payloads))
            await asyncio.sleep(0.1)
            assert not waiting.done()
        assert await waiting == run.subscription_id


async def test_whether_the_disk_is_full_is_asked_with_a_file(ports: wiring.Ports):
    await ports.workers.require_space()
    if isinstance(ports, wiring.Ports):
        database = ports.runs._database  # type: ignore[attr-defined]  # no port sends a statement
        async with await database.dedicated() as connection:
            await connection.execute("SET work_mem = '64kB'")
            plan = await connection.execute(f"EXPLAIN ANALYZE {_SORT_IN_FILE}")
            assert "Sort Method: external merge  Disk: " in str(await plan.fetchall())
