"""The run engine: the time limits of tasks, and the record of their attempts."""

import time
from datetime import timedelta

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.domain.tasks.attempt import AttemptOutcome
from support.engine import Engine, shell

FAST = {"maxAttempts": 100, "initialInterval": "400ms", "backoff": 1}
ONCE_MORE = {**FAST, "initialInterval": "4s", "jitter": 0}
"""Two attempts end within six seconds, and the third would begin after eight."""


@pytest.mark.usefixtures("worker")
async def test_the_limits_of_a_task_are_kept_and_its_attempts_are_on_record(engine: Engine) -> None:
    began = time.monotonic()
    total, heartbeat = {"total": "2s"}, {"heartbeat": "3s"}
    talk = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.8; done"
    tasks = [
        shell("echo hello; sleep 60", name="silent", timeout=heartbeat),
        shell("sleep 60", name="long", timeout=total),
        shell("exit 7", name="again", retry=ONCE_MORE, timeout={"total": "6s"}),
        shell("exit 7", name="old", retry={**FAST, "maxAge": "1s"}),
        shell(talk, name="busy", timeout={"heartbeat": "4s"}),
    ]
    run = await engine.run({"tasks": tasks})
    assert time.monotonic() - began < 50
    assert run.status is RunStatus.FAILED
    found = await engine.tasks(run.id)
    errors = {name: (task.code, task.error) for name, task in found.items()}
    assert errors["silent"] == ("heartbeat", "showed no progress for 3s (timeout.heartbeat)")
    assert found["silent"].output["stdout"] == "hello\n"
    assert errors["long"] == ("timeout", "took longer than 2s in all (timeout.total)")
    note = "ended with exit code 7; not repeated, because"
    assert errors["again"] == ("exit_code", f"{note} timeout.total is 6s")
    assert errors["old"] == ("exit_code", f"{note} retry.maxAge is 1s")
    assert errors["busy"] == (None, None)
    attempts = await engine.ports.run_lists.attempts([found["again"].id])
    assert [attempt.number for attempt in attempts] == [1, 2]
    assert {attempt.outcome for attempt in attempts} == {AttemptOutcome.FAILED}
    assert {attempt.code for attempt in attempts} == {"exit_code"}
    took = attempts[-1].started_at - attempts[0].started_at
    assert took < timedelta(seconds=10)
