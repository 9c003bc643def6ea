"""The run engine as a user sees it: real worker, real Postgres, real Temporal, real commands."""

import asyncio
import itertools
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psutil
import pytest

from activityctl import wiring
from activityctl.daemon.worker import run_worker
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.history import UNKNOWN_ORIGIN
from activityctl.domain.logbook import Cursor, LogEntry
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.run import Run, RunStatus, TaskInstance
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.operations.act import cancel, change_status, trigger
from activityctl.operations.apply import apply
from activityctl.operations.history import delete
from activityctl.settings import Settings
from activityctl.steps.record import RecordStep
from activityctl.workflows.calls import StopOrder

Spec = Mapping[str, Any]
NAME = "sample"
ANY_PARAMS = {"type": "object", "additionalProperties": True}


def now() -> datetime:
    return datetime.now(UTC)


def shell(script: str, **fields: object) -> dict[str, Any]:
    """A task named `one` that runs a script; fields lie over it."""
    return {"name": "one", "command": {"shell": script}, **fields}


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


def lives(pid_file: Path) -> bool:
    """Whether the process runs; one that ended unreaped, as in some containers, does not."""
    try:
        return psutil.Process(int(pid_file.read_text())).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Engine:
    """What a test does with one database: apply, fire, look."""

    def __init__(self, ports: wiring.Ports) -> None:
        self.ports = ports

    async def apply(self, spec: Spec, params: Mapping[str, Any] | None = None) -> Subscription:
        """Make the sample definition and its subscription so."""
        named = {"metadata": {"name": NAME}}
        whole = {**named, "spec": {"params": ANY_PARAMS, **spec}}
        definition = ActivityDefinition.model_validate_json(json.dumps(whole))
        wanted = {**named, "spec": {"activity": NAME, "params": params or {}}}
        manifest = SubscriptionManifest.model_validate(wanted)
        manifests = ManifestSet({NAME: definition}, {NAME: manifest}, {})
        catalog, workers = self.ports.catalog, self.ports.workers
        applied = await apply(
            manifests, catalog, self.ports.register, workers, now, timeout_seconds=10
        )
        assert not applied.errors
        return await catalog.find_subscription(NAME)

    async def fire(self, key: str | None = None, **payload: object) -> str:
        """Ask for a run and return its id."""
        catalog, outbox = self.ports.catalog, self.ports.outbox
        subscription = await catalog.find_subscription(NAME)
        firing = await trigger(catalog, outbox, subscription, now(), key=key, payload=payload)
        return firing.ref.run_id

    async def run(self, spec: Spec, params: Mapping[str, Any] | None = None) -> Run:
        """Apply, fire and return the ended run."""
        await self.apply(spec, params)
        return await self.ended(await self.fire())

    async def ended(self, run_id: str, seconds: float = 20) -> Run:
        async with asyncio.timeout(seconds):
            while True:
                state = await self.ports.runs.load(run_id)
                if state is not None and state.run.has_ended:
                    return state.run
                await asyncio.sleep(0.02)

    async def runs(self) -> list[Run]:
        return await self.ports.run_lists.runs(Selection(limit=1000))

    async def tasks(self, run_id: str) -> dict[str, TaskInstance]:
        """The run's task instances, by name or by name and index."""
        found = await self.ports.run_lists.tasks(Selection(run_id=run_id))
        return {one.name if one.of is None else f"{one.name}[{one.index}]": one for one in found}

    async def log(self, run_id: str) -> list[LogEntry]:
        run = await self.ports.run_lists.find_run(run_id)
        logbook = self.ports.logbook
        page, _ = await logbook.page(run.subscription_id, Cursor(), limit=500, run_id=run_id)
        return page

    async def cancel(self, run_id: str) -> None:
        await cancel(self.ports.runs, self.ports.run_lists, run_id, now())

    async def set_status(self, status: OperatorStatus) -> None:
        """Pause or resume, and wait until Temporal agrees."""
        subscription = await self.ports.catalog.find_subscription(NAME)
        await change_status(self.ports.catalog, subscription, status, now())
        await self.placed()

    async def delete(self) -> None:
        """Delete the subscription, and wait until its schedules are gone."""
        await delete(self.ports.catalog, "Subscription", NAME, now, UNKNOWN_ORIGIN)
        await self.placed()

    async def placed(self) -> None:
        async with asyncio.timeout(10):
            while await self.ports.register.drifted(10):
                await asyncio.sleep(0.02)

    async def dead_letters(self) -> list[str]:
        return [one.reason for one in await self.ports.run_lists.dead_letters(Selection())]


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Run the real worker in this loop; it is stopped as `down` stops it."""
    ready = asyncio.Event()
    worker = asyncio.create_task(run_worker(settings, on_ready=ready.set))
    started = asyncio.create_task(ready.wait())
    await asyncio.wait({worker, started}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    try:
        yield
    finally:
        if not worker.done() and ready.is_set():
            signal.raise_signal(signal.SIGTERM)
        await worker


@pytest.fixture
def engine(ports: wiring.Ports) -> Engine:
    return Engine(ports)


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    loopback = (ip_network("127.0.0.0/8"),)
    async with working(replace(settings, allowed_networks=loopback)):
        yield


RETRY = {"maxAttempts": 3, "initialInterval": "200ms", "backoff": 2}


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
    assert sum(waits) < 2, "Temporal's own backoff begins with a second and doubles"
    assert await engine.dead_letters() == []


@pytest.mark.usefixtures("worker")
async def test_when_retries_end_the_run_fails_with_a_dead_letter_and_on_failure_runs(
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


class Flaky(BaseHTTPRequestHandler):
    """Answers 503 twice, then 200; the server keeps the Idempotency-Keys it saw."""

    def do_POST(self) -> None:
        seen: list[str | None] = self.server.seen  # type: ignore[attr-defined]  # set below
        seen.append(self.headers["Idempotency-Key"])
        self.send_response(503 if len(seen) < 3 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        server.seen = seen = []  # type: ignore[attr-defined]  # read by the handler
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.usefixtures("worker")
async def test_every_attempt_of_a_call_carries_the_same_idempotency_key(engine: Engine) -> None:
    with serving() as (url, seen):
        call = {"name": "one", "http": {"method": "POST", "url": url}, "retry": RETRY}
        run = await engine.run({"tasks": [call]})
    assert run.status is RunStatus.SUCCEEDED
    assert seen == [(await engine.tasks(run.id))["one"].id] * 3


@pytest.mark.usefixtures("worker")
async def test_a_task_over_its_time_fails_and_leaves_no_process(
    engine: Engine, tmp_path: Path
) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    run = await engine.run({"tasks": [shell(script, timeout={"startToClose": "500ms"})]})
    assert run.status is RunStatus.FAILED
    assert "did not end within 0.5 s" in str(run.reason)
    assert not lives(tmp_path / "pid")


async def test_a_task_fails_that_no_worker_takes_in_time(
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
async def test_cancel_ends_the_run_at_once_and_its_command_soon(
    engine: Engine, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    await engine.apply(
        {
            "tasks": [
                shell(f"echo $$ > {pid}; exec sleep 60"),
                shell("true", name="two", needs=["one"]),
            ]
        }
    )
    run_id = await engine.fire()
    await until(lambda: pid.exists() and pid.read_text().endswith("\n"))
    asked = time.monotonic()
    await engine.cancel(run_id)
    run = await engine.ended(run_id)
    assert time.monotonic() - asked < 2
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "cancelled on request")
    await until(lambda: not lives(pid), 6)
    print(f"the command was gone {time.monotonic() - asked:.1f} s after cancel")
    tasks = await engine.tasks(run_id)
    assert {name: task.status for name, task in tasks.items()} == {"one": "cancelled"}
    assert await engine.dead_letters() == []


@pytest.mark.usefixtures("worker")
async def test_a_run_over_its_time_is_timed_out_and_on_failure_runs(
    engine: Engine, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    page = {"name": "page", "command": {"argv": ["echo", "${ run.error }"]}}
    spec = {"timeout": "1s", "tasks": [shell(f"echo $$ > {pid}; exec sleep 60")]}
    run = await engine.run({**spec, "onFailure": [page]})
    reason = "the run took longer than its timeout"
    assert (run.status, run.reason) == (RunStatus.TIMED_OUT, reason)
    tasks = await engine.tasks(run.id)
    assert tasks["one"].status == "cancelled"
    assert tasks["page"].output["stdout"].strip() == reason
    assert await engine.dead_letters() == [reason]
    await until(lambda: not lives(pid), 6)


@pytest.mark.usefixtures("worker")
async def test_no_more_of_a_for_each_is_at_work_than_max_parallel(
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
async def test_an_open_run_keeps_the_revision_and_params_it_began_with(
    engine: Engine, tmp_path: Path
) -> None:
    def spec(text: str) -> Spec:
        wait = f"while ! test -e {tmp_path}/gate; do sleep 0.02; done"
        say = {"argv": ["echo", f"{text} ${{ params.word }}"]}
        return {"tasks": [shell(wait), {"name": "say", "needs": ["one"], "command": say}]}

    await engine.apply(spec("old"), {"word": "before"})
    first = await engine.fire()
    async with asyncio.timeout(10):
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
async def test_a_run_sees_the_state_and_the_outputs_of_the_one_before(engine: Engine) -> None:
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
    assert [one.reason for one in (first, second)] == [None, None]
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
    await asyncio.sleep(0.5)  # what was under way when it was paused
    paused = len(await engine.runs())
    await asyncio.sleep(2.2)
    assert len(await engine.runs()) == paused
    await engine.set_status(SubscriptionStatus.ACTIVE)
    await fired(engine, paused + 1)
    await engine.delete()
    for run in await engine.runs():
        assert run.trigger == "tick"
        assert run.firing_key == run.due_at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def fired(engine: Engine, count: int) -> None:
    async with asyncio.timeout(10):
        while len(await engine.runs()) < count:
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("worker")
async def test_a_key_given_twice_is_one_run(engine: Engine) -> None:
    await engine.apply({"tasks": [shell("true")]})
    first = await engine.fire("order-7")
    await engine.ended(first)
    assert await engine.fire("order-7") == first
    await engine.ended(await engine.fire("order-8"))
    assert len(await engine.runs()) == 2
    assert (await engine.tasks(first))["one"].attempts == 1


@pytest.mark.usefixtures("worker")
async def test_an_expression_that_fails_fails_the_run_with_its_message(engine: Engine) -> None:
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
async def test_a_kind_that_this_worker_does_not_know_fails_the_task(engine: Engine) -> None:
    run = await engine.run({"tasks": [{"name": "one", "telegraph": {"to": "nobody"}}]})
    assert run.status is RunStatus.FAILED
    assert "this worker knows no task kind 'telegraph'" in str(run.reason)


@pytest.mark.usefixtures("worker")
async def test_a_command_that_does_not_exist_fails_the_run(engine: Engine) -> None:
    run = await engine.run({"tasks": [shell("true", command={"argv": ["absent-program"]})]})
    assert run.status is RunStatus.FAILED
    assert "cannot start: No such file or directory: absent-program" in str(run.reason)


def temporal_process(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2])
    (found,) = {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid
    }
    return psutil.Process(found)


@pytest.mark.usefixtures("worker")
async def test_a_firing_stored_while_temporal_is_away_starts_when_it_is_back(
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
    run = await engine.ended(run_id, 30)
    print(f"the run had ended {time.monotonic() - back:.1f} s after Temporal was back")
    assert run.status is RunStatus.SUCCEEDED
    assert await engine.ports.outbox.waiting() == 0


@pytest.mark.usefixtures("worker")
async def test_nothing_that_a_run_carries_is_seen_by_temporal(
    engine: Engine, settings: Settings
) -> None:
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
    assert [word for word in words if word.encode() in seen] == []


@pytest.mark.usefixtures("worker")
async def test_a_timeout_recorded_twice_leaves_the_on_failure_tasks_at_work(
    engine: Engine, tmp_path: Path
) -> None:
    """A worker that is lost right after recording it makes the next one record it again."""
    page = shell(f"while ! test -e {tmp_path}/gate; do sleep 0.02; done", name="page")
    spec = {"timeout": "500ms", "tasks": [shell("sleep 60")], "onFailure": [page]}
    await engine.apply(spec)
    run_id = await engine.fire()
    async with asyncio.timeout(10):
        while "page" not in await engine.tasks(run_id):
            await asyncio.sleep(0.02)
    recorder = RecordStep(engine.ports.runs, now)
    orders = await recorder.record(StopOrder(run_id, "timed_out", "again"))
    assert not orders.is_over
    (tmp_path / "gate").touch()
    run = await engine.ended(run_id)
    assert (run.status, run.reason) == (RunStatus.TIMED_OUT, "the run took longer than its timeout")
    assert (await engine.tasks(run_id))["page"].status == "succeeded"
