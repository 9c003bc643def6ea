"""Concurrency and throttle on real servers: runs that are queued, replaced or skipped."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from support.timed import RunHarness
from support.worker import working

SECOND = timedelta(seconds=1)


def gated(folder: Path) -> dict[str, Any]:
    """Return a task that writes down its start and end, and waits for a file named by the key."""
    script = (
        f"echo + $KEY >> {folder}/marks; while ! test -e {folder}/$KEY; do sleep 0.05; done;"
        f" echo - $KEY >> {folder}/marks"
    )
    command = {"shell": script, "env": {"KEY": "${ trigger.payload.key }"}}
    return {"name": "one", "command": command}


async def fire_all(harness: RunHarness, *keys: str) -> list[str]:
    """Fire in this order; each firing waits until the run before is stored."""
    found = []
    for key in keys:
        found.append(await harness.fire(key, key=key))
        await harness.until(found[-1], lambda _: True)
    return found


def marks(folder: Path) -> list[str]:
    return (folder / "marks").read_text().splitlines()


@pytest.mark.usefixtures("worker")
async def test_skip_runs_the_first_and_skips_the_second_with_a_reason(
    harness: RunHarness, tmp_path: Path
) -> None:
    await harness.apply(concurrency={"policy": "skip"}, tasks=[gated(tmp_path)])
    first, second = await fire_all(harness, "a", "b")
    refused = await harness.ended(second)
    assert refused.status is RunStatus.SKIPPED
    policy = "concurrency policy skip, limit 1"
    assert refused.reason == f"run {first[:8]} is still running ({policy})"
    (tmp_path / "a").touch()
    assert (await harness.ended(first)).status is RunStatus.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_queue_runs_them_one_after_the_other_in_order(
    harness: RunHarness, tmp_path: Path
) -> None:
    await harness.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
    for key in "abcd":
        (tmp_path / key).touch()
    (tmp_path / "a").unlink()
    runs = await fire_all(harness, *"abcd")
    assert [str((await harness.run(run_id)).status) for run_id in runs] == [
        "running",
        *["queued"] * 3,
    ]
    (tmp_path / "a").touch()
    ended = [await harness.ended(run_id) for run_id in runs]
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    assert marks(tmp_path) == [f"{sign} {key}" for key in "abcd" for sign in "+-"]


@pytest.mark.usefixtures("worker")
async def test_replace_cancels_the_run_before_and_names_the_new_run(
    harness: RunHarness, tmp_path: Path
) -> None:
    await harness.apply(concurrency={"policy": "replace"}, tasks=[gated(tmp_path)])
    (first,) = await fire_all(harness, "a")
    await harness.is_(first, RunStatus.RUNNING)
    (tmp_path / "b").touch()
    (second,) = await fire_all(harness, "b")
    replaced = await harness.ended(first)
    assert replaced.status is RunStatus.CANCELLED
    assert replaced.reason == f"replaced by run {second[:8]}"
    assert (await harness.ended(second)).status is RunStatus.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_a_throttle_skips_or_queues_runs_over_its_limit(harness: RunHarness) -> None:
    await harness.apply(throttle={"limit": 2, "per": "1h"})
    runs = [await harness.ended(run_id) for run_id in await fire_all(harness, *"abc")]
    assert [str(run.status) for run in runs] == ["succeeded", "succeeded", "skipped"]
    assert str(runs[-1].reason).startswith("throttled: ")
    await harness.apply(throttle={"limit": 3, "per": "3s", "excess": "queue"})
    runs = [await harness.ended(run_id) for run_id in await fire_all(harness, *"defg")]
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    begun = [await harness.begun_at(run.id) for run in runs]
    assert begun[-1] - begun[0] >= 1.5 * SECOND  # the first may begin late on a busy machine


@pytest.mark.usefixtures("worker")
async def test_after_a_queued_run_is_cancelled_the_next_run_starts(
    harness: RunHarness, tmp_path: Path
) -> None:
    await harness.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
    first, second, third = await fire_all(harness, *"abc")
    await harness.is_(first, RunStatus.RUNNING)
    await harness.cancel(second)
    cancelled = await harness.ended(second)
    assert (cancelled.status, cancelled.reason) == (RunStatus.CANCELLED, "cancelled on request")
    assert (await harness.run(third)).status is RunStatus.QUEUED
    for key in "abc":
        (tmp_path / key).touch()
    assert (await harness.ended(third)).status is RunStatus.SUCCEEDED
    assert marks(tmp_path) == ["+ a", "- a", "+ c", "- c"]


@asynccontextmanager
async def another_worker(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, killed at the end."""
    program = (
        "import asyncio, os, pathlib, sys;"
        "from activityctl.daemon.worker.worker import run_worker;"
        "from activityctl.settings import Secret, Settings;"
        "settings = Settings(home=pathlib.Path(sys.argv[1]), database_url=Secret(sys.argv[2]),"
        " temporal_address=sys.argv[3], allow_commands=True, task_environment=dict(os.environ));"
        "asyncio.run(run_worker(settings, on_ready=lambda: print('ready', flush=True)))"
    )
    url = settings.required_database_url()
    arguments = (str(settings.home), url, str(settings.temporal_address))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_queue_keeps_its_order_after_its_worker_was_killed(
    harness: RunHarness, settings: Settings, tmp_path: Path
) -> None:
    async with another_worker(settings) as process:
        await harness.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
        runs = await fire_all(harness, *"abcd")
        await harness.is_(runs[0], RunStatus.RUNNING)
        (tmp_path / "a").touch()
        await harness.is_(runs[1], RunStatus.RUNNING)
        process.kill()
    for key in "bcd":
        (tmp_path / key).touch()
    async with working(settings):
        ended = [await harness.until(run_id, lambda run: run.has_ended, 60) for run_id in runs]
    assert [str(run.status) for run in ended] == ["succeeded"] * 4
    seen = [line for line in marks(tmp_path) if line[0] == "-"]
    assert list(dict.fromkeys(seen)) == ["- a", "- b", "- c", "- d"]
    assert seen.count("- a") == seen.count("- c") == seen.count("- d") == 1
