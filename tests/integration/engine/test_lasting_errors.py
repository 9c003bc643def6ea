"""Errors that will not go away: they end as rows with a reason, and others are not delayed."""

import secrets
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from support.engine import NAME, Engine, shell

pytestmark = pytest.mark.usefixtures("worker")
OWNER = ids.subscription_id(NAME)


async def store(engine: Engine, keys: list[str]) -> list[ids.RunId]:
    """Store firings as a version stored them that did not limit keys."""
    now = datetime.now(UTC)
    firings = [FiringRequest(OWNER, "manual", f"manual/{key}", now) for key in keys]
    await engine.ports.outbox.add(firings, now)
    return [firing.ref.run_id for firing in firings]


async def run_slowly(engine: Engine, tasks: list[dict[str, Any]]) -> Run:
    """Run the tasks to the end; the tries of an error that nobody knows take half a minute."""
    await engine.apply({"tasks": tasks})
    return await engine.ended(await engine.fire(), seconds=90)


@pytest.mark.parametrize(("count", "size"), [(1, 1_200), (6, 4_000), (130, 4_000)])
async def test_stored_firings_with_keys_that_are_too_long_fail_and_others_run(
    engine: Engine, count: int, size: int
):
    await engine.apply({"tasks": [shell("true")]})
    long = await store(engine, [secrets.token_hex(size // 2) for _ in range(count)])
    assert (await engine.ended(await engine.fire(), seconds=60)).status is RunStatus.SUCCEEDED
    for run_id in long:
        run = await engine.ended(run_id, seconds=60)
        assert run.status is RunStatus.FAILED
        assert run.reason is not None
        assert len(run.firing_key.encode()) <= ids.MAX_KEY_BYTES
    texts = [entry.message for entry in await engine.log(long[0])]
    assert any(text.startswith("run failed: ") for text in texts)
    assert await engine.ports.outbox.waiting() == 0
    assert len(await engine.dead_letters()) == min(count, 100)


async def test_what_postgres_refuses_for_good_ends_the_task_or_the_run(
    engine: Engine, database_url: str
):
    """A constraint stands for every error of the data that comes again with each try."""
    done = [shell("echo fine", name="one"), shell("echo refused", name="two", needs=["one"])]
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            """ALTER TABLE tasks ADD CONSTRAINT refuses
               CHECK (output IS NULL OR output::text NOT LIKE '%refused%')"""
        )
        run = await run_slowly(engine, done)
        tasks = await engine.tasks(run.id)
        assert [task.status for task in tasks.values()] == ["succeeded", "failed"]
        assert [task.attempts for task in tasks.values()] == [1, 1]
        reason = "the result could not be recorded: CheckViolation, see the worker's log"
        assert (run.status, run.reason) == (RunStatus.FAILED, f"task two failed: {reason}")

        await connection.execute("ALTER TABLE tasks ADD CHECK (status <> 'failed') NOT VALID")
        run = await run_slowly(engine, done)
        assert (run.status, run.reason) == (RunStatus.FAILED, reason)
        assert (await engine.tasks(run.id))["two"].status == "cancelled"
        assert len(await engine.dead_letters()) == 2
