"""The run engine: a context that takes long is looked up in a step of its own."""

import asyncio
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.model import Manifest
from activityctl.errors import TaskError
from activityctl.executors import registry
from activityctl.ports import SourceCall
from activityctl.settings import Settings
from support.engine import Engine, shell
from support.worker import working

SLOW = {"name": "slow", "slow": {"how": "${ trigger.firingKey }"}, "timeout": "1m"}
LOOKED_UP = "its context is being looked up"


class SlowBody(Manifest):
    how: str


class SlowSource:
    kind: ClassVar[str] = "slow"
    body: ClassVar[type[BaseModel]] = SlowBody
    begun = 0
    go: asyncio.Event

    async def resolve(self, body: SlowBody, call: SourceCall) -> Any:
        SlowSource.begun += 1
        if "slow" in body.how:
            await SlowSource.go.wait()
        if "bad" in body.how:
            raise TaskError("broken")
        return {"of": call.run.id, "how": body.how}


@pytest.fixture(autouse=True)
def slow_source(monkeypatch: pytest.MonkeyPatch) -> None:
    SlowSource.begun, SlowSource.go = 0, asyncio.Event()
    monkeypatch.setattr(registry, "added_context_kinds", lambda: {"slow": SlowSource})


async def looked_up(engine: Engine, run_id: str) -> None:
    async with asyncio.timeout(60):
        while (state := await engine.ports.runs.load(run_id)) is None or (
            state.run.reason != LOOKED_UP
        ):
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("worker")
async def test_slow_lookups_keep_no_other_run_waiting(engine: Engine) -> None:
    script = 'echo "$OF"'
    task = {"name": "one", "command": {"shell": script, "env": {"OF": "${ context.slow.of }"}}}
    rule = {"when": "!context.slow.how.contains('slow')", "otherwise": "too slow"}
    await engine.apply({"context": [SLOW], "rules": [rule], "tasks": [task]})
    slow = await engine.fire_many(*(f"slow{number}" for number in range(60)))
    for run_id in slow:
        await looked_up(engine, run_id)
    quick = await engine.ended(await engine.fire("quick"))
    assert quick.status is RunStatus.SUCCEEDED
    assert (await engine.tasks(quick.id))["one"].output["stdout"].strip() == quick.id
    assert [(await engine.run_of(run_id)).status for run_id in slow] == ["queued"] * 60
    SlowSource.go.set()
    ended = [await engine.ended(run_id) for run_id in slow]
    assert {(run.status, run.reason, run.started_at) for run in ended} == {
        (RunStatus.SKIPPED, "too slow", None)
    }
    assert SlowSource.begun == 61


@pytest.mark.usefixtures("worker")
async def test_a_lookup_that_fails_fails_the_run_with_its_name(engine: Engine) -> None:
    page = {"name": "page", "command": {"argv": ["echo", "${ run.error }"]}}
    retry = {"maxAttempts": 2, "initialInterval": "50ms"}
    spec = {
        "context": [{**SLOW, "retry": retry}],
        "tasks": [shell("true")],
        "onFailure": [page],
    }
    await engine.apply(spec)
    run = await engine.ended(await engine.fire("bad-1"))
    assert (run.status, run.reason) == (RunStatus.FAILED, "context slow: broken")
    assert (await engine.tasks(run.id))["page"].output["stdout"].strip() == "context slow: broken"
    assert await engine.dead_letters() == ["context slow: broken"]
    messages = [entry.message for entry in await engine.log(run.id)]
    assert messages[0] == "run started by manual; its context is being looked up"
    assert messages[1].startswith("context slow: attempt 1 failed, the next one is in ")
    assert len([line for line in messages if line.startswith("run started by manual")]) == 1
    spec["context"] = [{**SLOW, "optional": True, "default": {"of": "nobody"}}]
    await engine.apply(spec)
    run = await engine.ended(await engine.fire("bad-2"))
    assert run.status is RunStatus.SUCCEEDED
    assert run.context == {"slow": {"of": "nobody"}}


@pytest.mark.usefixtures("worker")
async def test_a_run_can_be_cancelled_and_time_out_during_its_lookup(engine: Engine) -> None:
    spec = {"context": [SLOW], "tasks": [shell("true")], "timeout": "1h"}
    await engine.apply(spec)
    run_id = await engine.fire("slow-1")
    await looked_up(engine, run_id)
    await engine.cancel(run_id)
    assert (await engine.ended(run_id)).status is RunStatus.CANCELLED
    page = shell('echo "$WHY"', name="page")
    page["command"]["env"] = {"WHY": "${ run.error }"}
    await engine.apply({**spec, "timeout": "1s", "onFailure": [page]})
    run = await engine.ended(await engine.fire("slow-2"))
    assert (run.status, run.reason) == (
        RunStatus.TIMED_OUT,
        "the run took longer than its timeout",
    )
    assert (await engine.tasks(run.id))["page"].status == "succeeded"


async def test_a_worker_that_stops_leaves_its_lookups_to_the_next(
    engine: Engine, settings: Settings
) -> None:
    async with working(settings):
        await engine.apply({"context": [SLOW], "tasks": [shell("true")]})
        run_id = await engine.fire("slow")
        await looked_up(engine, run_id)
        async with asyncio.timeout(60):
            while not SlowSource.begun:
                await asyncio.sleep(0.02)
    SlowSource.go.set()
    async with working(settings):
        assert (await engine.ended(run_id, 40)).status is RunStatus.SUCCEEDED
    assert SlowSource.begun == 2
