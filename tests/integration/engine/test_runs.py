"""The run engine: the data of a run, and when a run starts."""

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import (
    SubscriptionStatus,
)
from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from activityctl.version import VERSION
from support.engine import Engine, Spec, shell


@pytest.mark.usefixtures("worker")
async def test_a_for_each_runs_at_most_max_parallel_instances_at_once(
    engine: Engine, tmp_path: Path
) -> None:
    script = f"echo + >> {tmp_path}/marks; sleep 0.2; echo - >> {tmp_path}/marks"
    run = await engine.run({"tasks": [shell(script, forEach=[1, 2, 3, 4, 5], maxParallel=2)]})
    assert run.status is RunStatus.SUCCEEDED
    assert len(await engine.tasks(run.id)) == 5
    marks = (tmp_path / "marks").read_text().split()
    at_work = [marks[:end].count("+") - marks[:end].count("-") for end in range(len(marks) + 1)]
    assert max(at_work) == 2
    assert marks.count("+") == 5


@pytest.mark.usefixtures("worker")
async def test_an_open_run_keeps_the_revision_and_params_of_its_start(
    engine: Engine, tmp_path: Path
) -> None:
    def spec(text: str) -> Spec:
        wait = f"while ! test -e {tmp_path}/gate; do sleep 0.02; done"
        say = {"argv": ["echo", f"{text} ${{ params.word }}"]}
        return {"tasks": [shell(wait), {"name": "say", "needs": ["one"], "command": say}]}

    await engine.apply(spec("old"), {"word": "before"})
    first = await engine.fire()
    async with asyncio.timeout(60):
        while not await engine.runs():
            await asyncio.sleep(0.02)
    await engine.apply(spec("new"), {"word": "after"})
    (tmp_path / "gate").touch()
    before = await engine.ended(first)
    after = await engine.ended(await engine.fire())
    assert (await engine.tasks(before.id))["say"].output["stdout"] == "old before\n"
    assert (await engine.tasks(after.id))["say"].output["stdout"] == "new after\n"
    assert before.revision_id != after.revision_id


@pytest.mark.usefixtures("worker")
async def test_a_run_has_the_state_and_the_outputs_of_the_run_before(engine: Engine) -> None:
    print_number = 'echo "${ has(state.count) ? state.count + 1 : 1 }"'
    spec = {
        "context": [{"name": "before", "runs": {"limit": 1, "status": "succeeded"}}],
        "tasks": [
            {"name": "one", "command": {"shell": print_number, "parse": "json"}},
            {
                "name": "seen",
                "when": "context.before.size() > 0",
                "command": {"argv": ["echo", "it was ${ context.before[0].tasks.one.json }"]},
            },
        ],
        "state": {"count": "${ tasks.one.output.json }"},
    }
    first = await engine.run(spec)
    second = await engine.ended(await engine.fire())
    assert [run.reason for run in (first, second)] == [None, None]
    assert (await engine.tasks(first.id))["seen"].status == "skipped"
    tasks = await engine.tasks(second.id)
    assert tasks["one"].output["json"] == 2
    assert tasks["seen"].output["stdout"] == "it was 1\n"


@pytest.mark.usefixtures("worker")
async def test_a_paused_subscription_fires_nothing_until_it_is_resumed(engine: Engine) -> None:
    every_second = {"name": "tick", "interval": {"every": "1s"}}
    await engine.apply({"triggers": [every_second], "tasks": [shell("true")]})
    await fired(engine, 1)
    await engine.set_status(SubscriptionStatus.PAUSED)
    paused = await count_at_rest(engine)
    await engine.set_status(SubscriptionStatus.ACTIVE)
    await fired(engine, paused + 1)
    await engine.delete()
    for run in await engine.runs():
        assert run.trigger == "tick"
        assert run.firing_key == run.due_at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def count_at_rest(engine: Engine) -> int:
    """Wait until no run comes for two seconds; return how many there are.

    Some may have been starting when the subscription was paused.
    """
    before, count = -1, len(await engine.runs())
    async with asyncio.timeout(60):
        while before != count:
            await asyncio.sleep(2.2)
            before, count = count, len(await engine.runs())
    return count


async def fired(engine: Engine, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await engine.runs()) < count:
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("worker")
async def test_a_key_that_is_given_twice_starts_one_run(engine: Engine) -> None:
    await engine.apply({"tasks": [shell("true")]})
    first = await engine.fire("order-7")
    await engine.ended(first)
    assert await engine.fire("order-7") == first
    await engine.ended(await engine.fire("order-8"))
    assert len(await engine.runs()) == 2
    assert (await engine.tasks(first))["one"].attempts == 1


def temporal_process(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2])
    (found,) = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr.port == port
        and connection.pid
    }
    return psutil.Process(found)


@pytest.mark.usefixtures("worker")
async def test_a_firing_that_is_stored_while_temporal_is_down_starts_later(
    engine: Engine, servers: dict[str, str]
) -> None:
    await engine.apply({"tasks": [shell("true")]})
    await engine.ended(await engine.fire())
    temporal = temporal_process(servers["temporal_address"])
    temporal.suspend()
    try:
        run_id = await engine.fire()
        await asyncio.sleep(7)
        assert await engine.ports.runs.load(run_id) is None
    finally:
        temporal.resume()
    back = time.monotonic()
    run = await engine.ended(run_id)
    print(f"the run had ended {time.monotonic() - back:.1f} s after Temporal was back")
    assert run.status is RunStatus.SUCCEEDED
    assert await engine.ports.outbox.waiting() == 0


@pytest.mark.usefixtures("worker")
async def test_temporal_gets_no_data_of_a_run(engine: Engine, settings: Settings) -> None:
    """Params, payload, input, output and errors stay in Postgres."""
    words = ["word-of-params", "word-of-payload", "word-of-output", "word-of-errors"]
    script = (
        "echo ${ params.word } ${ trigger.payload.word } word-of-output;"
        ' echo word-of-errors >&2; test "$ACTIVITYCTL_ATTEMPT" -ge 2'
    )
    retry = {"maxAttempts": 2, "initialInterval": "50ms"}
    spec = {"tasks": [shell(script, retry=retry), shell("cat; exit 1", name="two", needs=["one"])]}
    await engine.apply(spec, {"word": words[0]})
    run = await engine.ended(await engine.fire("key", word=words[1]))
    output = (await engine.tasks(run.id))["one"].output
    assert output["stdout"].split() == words[:3]
    assert output["stderr"].strip() == words[3]
    client = await wiring.connect_temporal(settings)
    workflow_id = f"run/{run.subscription_id}/{run.trigger}/{run.firing_key}"
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    seen = b"".join(event.SerializeToString() for event in history.events)
    assert run.id.encode() in seen
    assert VERSION.encode() in seen  # as the build of its worker
    assert [word for word in words if word.encode() in seen] == []
