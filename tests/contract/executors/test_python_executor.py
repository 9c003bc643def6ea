"""The `python` executor: strategies that work, skip, fail, block, crash and are not there."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.domain.runs.run import Run
from activityctl.errors import TaskError
from activityctl.executors.python import PythonExecutor
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.limited import parse_body
from support.calling import no_calls
from support.commands import ENVIRONMENT, a_call, failing, nothing_left_behind

MakeRun = Callable[..., Awaitable[Run]]
SAMPLES = Path(__file__).parents[2] / "sample_strategies"
Logged = list[tuple[str, str, Mapping[str, Any]]]


class Bench:
    """Runs strategies of the sample package for one run."""

    def __init__(self, ports: wiring.Ports, run: Run) -> None:
        self.executor = PythonExecutor(
            ports.runs, any_class=True, base_environment=ENVIRONMENT, steps=no_calls(ports)
        )
        self.run = run
        self.logged: Logged = []
        self.heartbeats = 0

    def call(self, seconds: float) -> TaskCall:
        async def log(level: str, message: str, metadata: Mapping[str, Any]) -> None:
            self.logged.append((level, message, metadata))

        async def secret(value: object, *, host: str | None) -> str:
            assert host is None
            return f"value of {value}"

        def progress() -> None:
            self.heartbeats += 1

        call = replace(a_call(seconds), run_id=self.run.id, progress=progress)
        return replace(call, log=log, secret=secret)

    async def __call__(
        self, name: str, request: Any = None, *, seconds: float = 60.0, **body: Any
    ) -> ExecutorOutcome:
        written = {"strategy": f"sample_strategies:{name}", "request": request, **body}
        parsed = parse_body(self.executor, written)
        return await self.executor.execute(parsed, self.call(seconds))

    async def failing(self, name: str, request: Any = None, **options: Any) -> TaskError:
        with pytest.raises(TaskError) as caught:
            await self(name, request, **options)
        return caught.value


@pytest_asyncio.fixture(loop_scope="session")
async def bench(
    ports: wiring.Ports, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(SAMPLES))
    bench = Bench(ports, await make_run("a"))
    yield bench
    await bench.executor.close()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(bench: Bench) -> Iterator[None]:
    with nothing_left_behind():
        yield
        bench.executor._starter.close()


async def test_a_strategy_sees_its_run_and_answers(bench: Bench):
    outcome = await bench("Greet", {"who": "Ada"}, secrets={"token": {"secretRef": "t"}})
    response = outcome.output["response"]
    assert response["text"] == "hello Ada"
    assert response["subscription"] == bench.run.subscription
    assert (response["count"], response["attempt"], response["key"]) == (1, 2, "key-1")
    assert response["secret"] == "value of secret t"
    assert bench.logged == [("info", "greeting", {"who": "Ada"})]
    assert outcome.output["durationMs"] > 0


async def test_a_strategy_skips_with_a_reason(bench: Bench):
    outcome = await bench("Fails", "skip")
    assert outcome.skipped == "nothing to do today"


@pytest.mark.parametrize(
    ("request_", "code", "may_retry", "message"),
    [
        ("final", "limit", False, "never again"),
        ("bug", "strategy_error", True, "KeyError: 'missing'"),
        ("exit", "crashed", True, "the process ended with exit code 3 without an answer"),
        ("killed", "crashed", True, "the process was killed by SIGKILL without an answer"),
        ("system exit", "strategy_error", True, "SystemExit: 4"),
        ("not json", "strategy_error", True, "not JSON serializable"),
        ("nan", "strategy_error", True, "not JSON compliant"),
        ("large", "bad_output", False, "the response has more than 1,048,576 bytes"),  # 50 MB
    ],
)
async def test_a_failure_is_told(
    bench: Bench,
    request_: str,
    code: str,
    may_retry: bool,  # noqa: FBT001 - a table
    message: str,
):
    error = await bench.failing("Fails", request_)
    assert (error.task_code, error.may_retry) == (code, may_retry), error.message
    assert message in str(error)
    assert len(json.dumps(error.output)) < 5_000
    if code == "strategy_error":
        ((level, _, facts),) = bench.logged
        assert level == "error"
        assert 'sample_strategies.py", line' in facts["traceback"] or "json" in facts["traceback"]


async def test_a_strategy_that_blocks_does_not_block_the_worker(bench: Bench):
    work = asyncio.ensure_future(bench("Blocks", 3.0))
    longest, before = 0.0, time.monotonic()
    while not work.done():
        await asyncio.sleep(0.01)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    assert (await work).output["response"] == "slept"
    assert bench.heartbeats >= 10
    assert longest < 2.5


async def test_an_answer_is_read_however_late(bench: Bench):
    attempt = asyncio.ensure_future(bench("Greet", {"who": "Ada"}))
    async with asyncio.timeout(60):
        while not bench.logged:
            await asyncio.sleep(0.01)
    time.sleep(1.5)  # noqa: ASYNC251 - a busy worker; the process ends meanwhile
    assert (await attempt).output["response"]["text"] == "hello Ada"


async def test_the_end_of_a_guardian_harms_no_task_with_the_same_id(bench: Bench):
    """Two daemons on one machine may have tasks with the same ids, as the tests here have."""
    attempt = asyncio.ensure_future(bench("Blocks", 1.0))
    async with asyncio.timeout(60):
        while not bench.heartbeats:
            await asyncio.sleep(0.01)
    error = await failing(shell="kill -KILL $PPID; sleep 60")
    assert error.message.startswith("the process that guards the command was killed")
    assert (await attempt).output["response"] == "slept"


async def test_time_limit_and_cancellation_reach_the_strategy(bench: Bench):
    error = await bench.failing("Waits", seconds=2.0)
    assert error.task_code == "timeout"
    assert ("info", "tidied up", {}) in bench.logged
    attempt = asyncio.ensure_future(bench("Blocks", 60.0))
    async with asyncio.timeout(60):
        while not bench.heartbeats:
            await asyncio.sleep(0.05)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt


async def test_threads_do_not_keep_an_attempt_open(bench: Bench):
    async with asyncio.timeout(60):
        assert (await bench("Fails", "thread")).output["response"] == "left a thread"


async def test_the_log_of_a_chatty_strategy_is_bounded(bench: Bench):
    assert (await bench("Fails", "chatty")).output["response"] == "said it"
    assert len(bench.logged) == 1_001
    assert "200 more entries than 1000 were left out" in bench.logged[-1][1]


async def test_what_is_missing_is_known_before_an_attempt(bench: Bench):
    missing = bench.executor.missing
    assert await missing("sample_strategies:Greet") is None
    assert await missing("sample_strategies:Plain") is None  # it is here, but does not work
    assert "no class Nothing" in (await missing("sample_strategies:Nothing") or "")
    assert "no module not_there" in (await missing("not_there.at_all:X") or "")
    assert "has a strategy named greet" in (await missing("greet") or "")


async def test_a_class_without_the_coroutine_is_refused(bench: Bench):
    error = await bench.failing("Plain")
    assert "has no coroutine execute(context, request)" in str(error)
    assert not error.may_retry


async def test_any_class_needs_the_setting(ports: wiring.Ports, bench: Bench):
    executor = PythonExecutor(
        ports.runs, any_class=False, base_environment=ENVIRONMENT, steps=no_calls(ports)
    )
    body = parse_body(executor, {"strategy": "sample_strategies:Greet"})
    with pytest.raises(TaskError, match="ACTIVITYCTL_ALLOW_COMMANDS") as caught:
        await executor.execute(body, bench.call(5.0))
    assert caught.value.task_code == "not_allowed"
    assert await executor.missing("sample_strategies:Greet") is None


@pytest.mark.parametrize("body", [{}, {"strategy": "a b"}, {"strategy": "m:"}, {"strategy": 1}])
async def test_a_bad_body_is_bad_input(bench: Bench, body: dict[str, Any]):
    with pytest.raises(TaskError) as caught:
        parse_body(bench.executor, body)
    assert caught.value.task_code == "bad_input"
