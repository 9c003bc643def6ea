"""Groups, loops, undo tasks and early ends in real runs: as they go, stopped, and carried on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from integration.engine.test_recovery import workflow_of
from support.engine import Engine, shell
from support.worker import working


def marks(file: Path, text: str, then: str = "true") -> dict[str, Any]:
    return {"command": {"shell": f"echo {text} >> {file}; {then}"}}


def told(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


async def until_told(file: Path, *texts: str) -> None:
    async with asyncio.timeout(60):
        while not set(texts) <= set(told(file)):
            await asyncio.sleep(0.05)


def booking(file: Path, last: dict[str, Any]) -> dict[str, Any]:
    """A loop over groups with an effect each, then what the test is about."""
    hotel = {"name": "hotel", **marks(file, "book"), "undo": [{"name": "no", **marks(file, "no")}]}
    return {
        "tasks": [
            {"name": "trip", "forEach": ["a", "b"], "maxParallel": 1, "tasks": [hotel]},
            {"name": "last", "needs": ["trip"], **last},
        ],
        "onFailure": [{"name": "page", **marks(file, "page")}],
    }


@pytest.mark.usefixtures("worker")
async def test_rounds_wait_and_a_failed_run_is_undone_before_on_failure(
    engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "marks"
    loop = {
        "repeat": {"until": "false", "max": 2, "delay": "300ms"},
        "tasks": [{"name": "ask", **marks(file, "ask")}],
    }
    run = await engine.run(booking(file, loop))
    assert run.status is RunStatus.FAILED
    assert told(file) == ["book", "book", "ask", "ask", "no", "no", "page"]
    assert run.reason is not None
    assert "until was still false after round 2" in run.reason
    tasks = await engine.tasks(run.id)
    assert {"trip[0]", "trip[1].hotel", "last[2].ask", "trip[0].hotel.no"} <= tasks.keys()
    first, second = tasks["last[1]"], tasks["last[2]"]
    assert first.ended_at is not None
    assert second.started_at is not None
    assert (second.started_at - first.ended_at).total_seconds() >= 0.29


@pytest.mark.usefixtures("worker")
async def test_a_run_is_undone_when_it_is_cancelled_or_takes_too_long(
    engine: Engine, tmp_path: Path
) -> None:
    for number, timeout in enumerate(("1h", "2s")):
        file = tmp_path / f"marks-{number}"
        spec = booking(file, marks(file, "long", "exec sleep 60"))
        await engine.apply({**spec, "timeout": timeout})
        run_id = await engine.fire()
        await until_told(file, "long")
        if timeout == "1h":
            await engine.cancel(run_id)
        run = await engine.ended(run_id, 40)
        page = [] if timeout == "1h" else ["page"]
        assert told(file) == ["book", "book", "long", "no", "no", *page]
        assert run.status is (RunStatus.CANCELLED if timeout == "1h" else RunStatus.TIMED_OUT)


@pytest.mark.usefixtures("worker")
async def test_a_run_is_stopped_between_two_rounds(
    engine: Engine, servers: dict[str, str], tmp_path: Path
) -> None:
    """A round that has to wait is ordered already, but no worker has it."""
    client = await Client.connect(servers["temporal_address"])
    hourly = {"repeat": {"max": 3, "delay": "20m"}}
    for number, timeout in enumerate(("2h", "5s")):
        file = tmp_path / f"marks-{number}"
        book = {
            "name": "book",
            **marks(file, "book"),
            "undo": [{"name": "no", **marks(file, "no")}],
        }
        poll = {"name": "poll", **hourly, "needs": ["book"], **marks(file, "poll")}
        ask = {"name": "ask", **marks(file, "ask")}
        group = {"name": "group", **hourly, "needs": ["book"], "tasks": [ask]}
        long = {"name": "long", "needs": ["book"], **marks(file, "long", "exec sleep 60")}
        await engine.apply({"tasks": [book, poll, group, long], "timeout": timeout})
        run_id = await engine.fire()
        async with asyncio.timeout(60):
            while not {"poll[2]", "group[2]"} <= (await engine.tasks(run_id)).keys() or (
                "long" not in told(file)
            ):
                await asyncio.sleep(0.05)
        workflow_id = await workflow_of(engine, run_id)
        if timeout == "2h":
            await engine.cancel(run_id)
        run = await engine.ended(run_id)
        assert run.status is (RunStatus.CANCELLED if timeout == "2h" else RunStatus.TIMED_OUT)
        assert sorted(told(file)) == ["ask", "book", "long", "no", "poll"], (
            "no round begins any more"
        )
        statuses = {name: task.status.value for name, task in (await engine.tasks(run_id)).items()}
        waited = ("poll", "poll[2]", "group", "group[2]")
        assert [statuses[name] for name in waited] == ["cancelled"] * 4
        handle = client.get_workflow_handle(workflow_id)
        async with asyncio.timeout(60):
            if timeout == "2h":
                assert await handle.result() == f"cancelled; activityctl describe run {run_id}"
            else:
                with pytest.raises(WorkflowFailureError):
                    await handle.result()


@pytest.mark.usefixtures("worker")
async def test_the_timeout_of_the_run_does_not_leave_it_half_undone(
    engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "marks"
    undo = [{"name": "no", **marks(file, "no", "sleep 3")}]
    first = {"name": "one", **marks(file, "one"), "undo": undo}
    spec = {"tasks": [first, {"name": "bad", "needs": ["one"], "command": {"argv": ["false"]}}]}
    run = await engine.run({**spec, "timeout": "2s"})
    assert (run.status, run.reason) == (
        RunStatus.FAILED,
        "task bad failed: ended with exit code 1",
    )
    assert (await engine.tasks(run.id))["one.no"].attempts == 1


@pytest.mark.usefixtures("worker")
async def test_a_task_in_a_group_has_its_own_retries_and_on_success_runs_after_all(
    engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "marks"
    retry = {"maxAttempts": 2, "initialInterval": "0s"}
    twice = {"name": "twice", **marks(file, "try", '[ "$ACTIVITYCTL_ATTEMPT" -gt 1 ]')}
    group = {"name": "g", "forEach": [1], "tasks": [{**twice, "retry": retry}]}
    done = [{"name": "done", **marks(file, "done")}]
    run = await engine.run({"tasks": [group], "onSuccess": done})
    assert (run.status, told(file)) == (RunStatus.SUCCEEDED, ["try", "try", "done"])
    messages = [entry.message for entry in await engine.log(run.id)]
    assert any(text.startswith("task g[0].twice attempt 1 failed") for text in messages)


@pytest.mark.usefixtures("worker")
async def test_stop_ends_the_run_and_what_is_at_work(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "marks"
    long = shell(f"echo long >> {file}; exec sleep 60")
    enough = {"name": "enough", "needs": ["two"], "stop": {"status": "skipped", "reason": "done"}}
    two = {"name": "two", **marks(file, "two", "sleep 1")}
    run = await engine.run({"tasks": [long, two, enough, shell("true", name="x", needs=["one"])]})
    assert (run.status, run.reason) == (RunStatus.SKIPPED, "stopped by task enough: done")
    tasks = await engine.tasks(run.id)
    assert {name: task.status.value for name, task in tasks.items()} == {
        "one": "cancelled",
        "two": "succeeded",
        "enough": "succeeded",
    }


@pytest.mark.usefixtures("soon")
async def test_a_run_is_carried_on_in_the_middle_of_a_loop_a_wait_and_an_undo(
    engine: Engine, settings: Settings, servers: dict[str, str], tmp_path: Path
) -> None:
    """The worker and the workflow are lost three times; nothing that has ended is repeated."""
    file = tmp_path / "marks"

    def once(flag: str) -> str:
        """Return a script that is long only when it runs for the first time."""
        return f"[ -e {tmp_path / flag} ] || {{ touch {tmp_path / flag}; exec sleep 60; }}"

    hotel = {"name": "hotel", **marks(file, "hotel")}
    hotel["undo"] = [{"name": "no", **marks(file, "undoing", once("u"))}]
    ask = {"name": "ask", **marks(file, "asking", once("a"))}
    loop = {"name": "loop", "needs": ["hotel"], "repeat": {"max": 2, "delay": "4s"}, "tasks": [ask]}
    bad = {"name": "bad", "needs": ["loop"], "command": {"argv": ["false"]}}
    client = await Client.connect(servers["temporal_address"])
    await engine.apply({"tasks": [hotel, loop, bad]})
    run_id = await engine.fire()

    async def lose_at(text: str) -> None:
        async with working(settings), asyncio.timeout(60):
            while text not in told(file):
                await asyncio.sleep(0.05)
            await client.get_workflow_handle(await workflow_of(engine, run_id)).terminate()

    await lose_at("asking")  # in a round
    async with working(settings), asyncio.timeout(60):
        while "loop[2]" not in await engine.tasks(run_id):
            await asyncio.sleep(0.05)
        await client.get_workflow_handle(await workflow_of(engine, run_id)).terminate()
    await lose_at("undoing")  # while an effect is undone
    async with working(settings):
        run = await engine.ended(run_id, 60)
    assert (run.status, run.reason) == (
        RunStatus.FAILED,
        "task bad failed: ended with exit code 1",
    )
    tasks = await engine.tasks(run_id)
    assert tasks["hotel"].attempts == 1
    assert {"loop[1].ask", "loop[2].ask", "hotel.no"} <= tasks.keys()
    assert all(task.has_ended for task in tasks.values())
