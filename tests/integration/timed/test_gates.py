"""Overlap and throttle on the real servers: runs that wait, give way or are refused."""

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
from support.timed import House
from support.worker import working

SECOND = timedelta(seconds=1)


def gated(folder: Path) -> dict[str, Any]:
    """A task that notes its begin and end, and waits for a file named as its run's key."""
    script = (
        f"echo + $KEY >> {folder}/marks; while ! test -e {folder}/$KEY; do sleep 0.05; done;"
        f" echo - $KEY >> {folder}/marks"
    )
    command = {"shell": script, "env": {"KEY": "${ trigger.payload.key }"}}
    return {"name": "one", "command": command}


async def fire_all(house: House, *keys: str) -> list[str]:
    """Fire one after the other, each once the one before has its row."""
    found = []
    for key in keys:
        found.append(await house.fire(key, key=key))
        await house.until(found[-1], lambda _: True)
    return found


def marks(folder: Path) -> list[str]:
    return (folder / "marks").read_text().splitlines()


@pytest.mark.usefixtures("worker")
async def test_skip_lets_one_run_and_says_why_the_other_did_not(
    house: House, tmp_path: Path
) -> None:
    await house.apply(concurrency={"policy": "skip"}, tasks=[gated(tmp_path)])
    first, second = await fire_all(house, "a", "b")
    refused = await house.ended(second)
    assert refused.status is RunStatus.SKIPPED
    policy = "concurrency policy skip, limit 1"
    assert refused.reason == f"run {first[:8]} is still running ({policy})"
    (tmp_path / "a").touch()
    assert (await house.ended(first)).status is RunStatus.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_queue_runs_one_after_the_other_in_their_order(house: House, tmp_path: Path) -> None:
    await house.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
    for key in "abcd":
        (tmp_path / key).touch()
    (tmp_path / "a").unlink()
    runs = await fire_all(house, *"abcd")
    assert [str((await house.run(one)).status) for one in runs] == ["running", *["queued"] * 3]
    (tmp_path / "a").touch()
    ended = [await house.ended(one) for one in runs]
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    assert marks(tmp_path) == [f"{sign} {key}" for key in "abcd" for sign in "+-"]


@pytest.mark.usefixtures("worker")
async def test_replace_cancels_the_one_before_and_says_for_whom(
    house: House, tmp_path: Path
) -> None:
    await house.apply(concurrency={"policy": "replace"}, tasks=[gated(tmp_path)])
    (first,) = await fire_all(house, "a")
    await house.is_(first, RunStatus.RUNNING)
    (tmp_path / "b").touch()
    (second,) = await fire_all(house, "b")
    replaced = await house.ended(first)
    assert replaced.status is RunStatus.CANCELLED
    assert replaced.reason == f"replaced by run {second[:8]}"
    assert (await house.ended(second)).status is RunStatus.SUCCEEDED


@pytest.mark.usefixtures("worker")
async def test_a_throttle_skips_or_queues_what_is_too_much(house: House) -> None:
    await house.apply(throttle={"limit": 2, "per": "1h"})
    runs = [await house.ended(one) for one in await fire_all(house, *"abc")]
    assert [str(run.status) for run in runs] == ["succeeded", "succeeded", "skipped"]
    assert str(runs[-1].reason).startswith("throttled: ")
    await house.apply(throttle={"limit": 3, "per": "3s", "excess": "queue"})
    runs = [await house.ended(one) for one in await fire_all(house, *"defg")]
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    begun = [await house.begun_at(run.id) for run in runs]
    assert begun[-1] - begun[0] >= 2.8 * SECOND


@pytest.mark.usefixtures("worker")
async def test_a_queued_run_is_cancelled_and_the_next_one_takes_its_turn(
    house: House, tmp_path: Path
) -> None:
    await house.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
    first, second, third = await fire_all(house, *"abc")
    await house.is_(first, RunStatus.RUNNING)
    await house.cancel(second)
    cancelled = await house.ended(second)
    assert (cancelled.status, cancelled.reason) == (RunStatus.CANCELLED, "cancelled on request")
    assert (await house.run(third)).status is RunStatus.QUEUED
    for key in "abc":
        (tmp_path / key).touch()
    assert (await house.ended(third)).status is RunStatus.SUCCEEDED
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


async def test_a_queue_goes_on_in_its_order_after_its_worker_was_killed(
    house: House, settings: Settings, tmp_path: Path
) -> None:
    async with another_worker(settings) as process:
        await house.apply(concurrency={"policy": "queue"}, tasks=[gated(tmp_path)])
        runs = await fire_all(house, *"abcd")
        await house.is_(runs[0], RunStatus.RUNNING)
        (tmp_path / "a").touch()
        await house.is_(runs[1], RunStatus.RUNNING)
        process.kill()
    for key in "bcd":
        (tmp_path / key).touch()
    async with working(settings):
        ended = [await house.until(one, lambda run: run.has_ended, 60) for one in runs]
    assert [str(run.status) for run in ended] == ["succeeded"] * 4
    seen = [line for line in marks(tmp_path) if line[0] == "-"]
    assert list(dict.fromkeys(seen)) == ["- a", "- b", "- c", "- d"]
    assert seen.count("- a") == seen.count("- c") == seen.count("- d") == 1
