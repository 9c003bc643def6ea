"""The run engine: failed attempts, and the status of their task and run."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings
from support.engine import Engine, shell, until
from support.worker import working

RETRY = {"maxAttempts": 3, "initialInterval": "200ms", "backoff": 2, "jitter": 0}


@pytest.mark.usefixtures("worker")
async def test_each_attempt_is_logged_and_counted_until_one_succeeds(engine: Engine) -> None:
    script = 'echo "no luck" >&2; test "$ACTIVITYCTL_ATTEMPT" -ge 3'
    run = await engine.run({"tasks": [shell(script, retry=RETRY)]})
    assert run.status is RunStatus.SUCCEEDED
    assert (await engine.tasks(run.id))["one"].attempts == 3
    log = await engine.log(run.id)
    failed = [entry for entry in log if "failed" in entry.message]
    assert [entry.metadata["attempt"] for entry in failed] == [1, 2]
    assert [entry.metadata["retryInSeconds"] for entry in failed] == [0.2, 0.4]
    assert all("exit code 1: no luck" in entry.message for entry in failed)
    moments = [*(entry.created_at for entry in failed), log[-1].created_at]
    waits = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(moments)]
    assert waits[0] >= 0.2
    assert waits[1] >= 0.4
    assert sum(waits) < 2, "Temporal's own backoff would begin with one second and double"
    assert await engine.dead_letters() == []


@pytest.mark.usefixtures("worker")
async def test_after_the_last_retry_the_run_fails_with_a_dead_letter_and_on_failure_tasks(
    engine: Engine,
) -> None:
    retry = {"maxAttempts": 2, "initialInterval": "50ms"}
    page = {"name": "page", "command": {"argv": ["echo", "${ run.error }"]}}
    bad = shell("echo broken >&2; exit 3", retry=retry)
    run = await engine.run({"tasks": [bad], "onFailure": [page]})
    reason = "task one failed: ended with exit code 3: broken"
    assert (run.status, run.reason) == (RunStatus.FAILED, reason)
    assert await engine.dead_letters() == [reason]
    tasks = await engine.tasks(run.id)
    assert (tasks["one"].status, tasks["one"].attempts) == ("failed", 2)
    assert tasks["page"].output["stdout"].strip() == reason


@pytest.mark.usefixtures("worker")
async def test_what_failed_attempts_wrote_is_kept_and_can_be_read_later(engine: Engine) -> None:
    retry = {"maxAttempts": 2, "initialInterval": "50ms"}
    bad = shell("echo TEST $ACTIVITYCTL_ATTEMPT FAILED; exit 3", retry=retry)
    output = "${ tasks.one.output.exitCode } ${ tasks.one.output.stdout } ${ tasks.one.error }"
    page = {"name": "page", "command": {"argv": ["echo", output]}}
    run = await engine.run({"tasks": [bad], "onFailure": [page]})
    tasks = await engine.tasks(run.id)
    assert tasks["one"].output["stdout"] == "TEST 2 FAILED\n"
    assert tasks["one"].output["exitCode"] == 3
    assert tasks["page"].output["stdout"].split() == [
        *["3", "TEST", "2", "FAILED", "ended", "with", "exit", "code", "3:", "TEST", "2", "FAILED"]
    ]
    log = await engine.log(run.id)
    first = next(entry for entry in log if "attempt 1 failed" in entry.message)
    assert first.message.endswith("ended with exit code 3: TEST 1 FAILED")
    assert first.metadata["output"]["stdout"] == "TEST 1 FAILED\n"


@pytest.mark.usefixtures("worker")
async def test_what_a_timed_out_attempt_wrote_is_kept(engine: Engine) -> None:
    slow = shell("echo begun; sleep 60", timeout={"startToClose": "1s"})
    run = await engine.run({"tasks": [slow]})
    task = (await engine.tasks(run.id))["one"]
    assert (task.output["stdout"], task.output["exitCode"]) == ("begun\n", -15)
    assert task.error == "did not end within 1 s: begun"
    entry = next(entry for entry in await engine.log(run.id) if "task one failed" in entry.message)
    assert entry.metadata["output"]["stdout"] == "begun\n"


@pytest.mark.usefixtures("worker")
async def test_a_timed_out_program_has_its_whole_grace(engine: Engine, tmp_path: Path) -> None:
    script = f"trap 'sleep 2; echo cleaned > {tmp_path}/x; exit' TERM; while :; do sleep 0.05; done"
    await engine.run({"tasks": [shell(script, timeout={"startToClose": "1s"})]})
    assert (tmp_path / "x").read_text() == "cleaned\n"


@pytest.mark.usefixtures("worker")
async def test_what_a_cancelled_attempt_wrote_is_kept(engine: Engine, tmp_path: Path) -> None:
    await engine.apply({"tasks": [shell(f"echo begun; touch {tmp_path}/up; sleep 60")]})
    run_id = await engine.fire()
    await until((tmp_path / "up").exists)
    await engine.cancel(run_id)
    assert (await engine.ended(run_id)).status is RunStatus.CANCELLED
    async with asyncio.timeout(60):
        while (task := (await engine.tasks(run_id))["one"]).output is None:
            await asyncio.sleep(0.05)
    assert (task.status, task.output["stdout"]) == ("cancelled", "begun\n")
    stopped = [entry for entry in await engine.log(run_id) if "was stopped" in entry.message]
    assert [entry.message for entry in stopped] == ["task one attempt 1 was stopped: begun"]


class Flaky(BaseHTTPRequestHandler):
    """Answers 503 twice, then 200; the server keeps the received Idempotency-Keys.

    With the path `/busy`, it asks for a wait of 1 second, then for one until a date in 2 seconds.
    """

    def do_POST(self) -> None:
        seen: list[str | None] = self.server.seen
        seen.append(self.headers["Idempotency-Key"])
        self.send_response(503 if len(seen) < 3 else 200)
        if self.path == "/busy":
            waits = ["1", self.date_time_string(int(time.time()) + 2), "0"]
            self.send_header("Retry-After", waits[len(seen) - 1])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        server.seen = seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("worker")
async def test_every_attempt_of_a_call_sends_the_same_idempotency_key(engine: Engine) -> None:
    with serving() as (url, seen):
        call = {"name": "one", "http": {"method": "POST", "url": url}, "retry": RETRY}
        run = await engine.run({"tasks": [call]})
    assert run.status is RunStatus.SUCCEEDED
    assert seen == [(await engine.tasks(run.id))["one"].id] * 3


@pytest.mark.usefixtures("worker")
async def test_the_next_attempt_waits_as_long_as_the_server_asks(engine: Engine) -> None:
    with serving() as (url, seen):
        call = {"method": "POST", "url": f"{url}busy"}
        run = await engine.run({"tasks": [{"name": "one", "http": call, "retry": RETRY}]})
    assert (run.status, len(seen)) == (RunStatus.SUCCEEDED, 3)
    log = await engine.log(run.id)
    failed = [entry for entry in log if "failed" in entry.message]
    waits = [entry.metadata["retryInSeconds"] for entry in failed]
    assert waits[0] == 1
    assert 1 <= waits[1] <= 2, "the second may begin between the two clock readings"
    assert "(Retry-After asks for 1 s; the next attempt is in 1 s)" in failed[0].message
    moments = [*(entry.created_at for entry in failed), log[-1].created_at]
    for wait, (earlier, later) in zip(waits, itertools.pairwise(moments), strict=True):
        assert (later - earlier).total_seconds() >= wait


async def test_a_task_fails_if_no_worker_takes_it_in_time(
    engine: Engine, settings: Settings
) -> None:
    timeout = {"scheduleToStart": "500ms"}
    two = [shell("sleep 1.5", name=name, timeout=timeout) for name in ("one", "two")]
    async with working(replace(settings, max_tasks=1)):
        run = await engine.run({"tasks": two})
    assert run.status is RunStatus.FAILED
    tasks = (await engine.tasks(run.id)).values()
    assert sorted(task.status for task in tasks) == ["failed", "succeeded"]
    (error,) = [task.error for task in tasks if task.error]
    assert error == "no worker was free within timeout.scheduleToStart"


@pytest.mark.usefixtures("worker")
async def test_a_failing_expression_fails_the_run_with_its_message(engine: Engine) -> None:
    say = {"argv": ["echo", "${ params.list[5] }"]}
    run = await engine.run({"tasks": [{"name": "say", "command": say}]}, {"list": [1]})
    assert run.status is RunStatus.FAILED
    assert "params.list[5]" in str(run.reason)
    rules = {"rules": [{"when": "params.absent > 1"}], "tasks": [shell("true")]}
    run = await engine.run(rules, {})
    assert run.status is RunStatus.FAILED
    assert str(run.reason).startswith("rules[0]: ")
    assert await engine.tasks(run.id) == {}


@pytest.mark.usefixtures("worker")
async def test_a_task_kind_that_the_worker_does_not_know_fails_the_task(engine: Engine) -> None:
    run = await engine.run({"tasks": [{"name": "one", "telegraph": {"to": "nobody"}}]})
    assert run.status is RunStatus.FAILED
    assert "this worker does not know the task kind 'telegraph'" in str(run.reason)


@pytest.mark.usefixtures("worker")
async def test_a_command_that_does_not_exist_fails_the_run(engine: Engine) -> None:
    run = await engine.run({"tasks": [shell("true", command={"argv": ["absent-program"]})]})
    assert run.status is RunStatus.FAILED
    assert "cannot start: there is no such file or folder: absent-program" in str(run.reason)
