"""The `python` task: a strategy written in Python, in a process of its own; see `strategies`."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, cast, get_args

from pydantic import BaseModel

from activityctl.domain.values.log import Level
from activityctl.domain.values.untrusted import parse_storable_json, storable
from activityctl.errors import TaskError, UnreachableError
from activityctl.executors.capture import Capture
from activityctl.executors.process import (
    DEATH_SECONDS,
    DRAIN_SECONDS,
    GuardianLostError,
    ProcessSpec,
    TaskProcess,
    exit_reason,
)
from activityctl.executors.python_body import PythonBody
from activityctl.executors.starter import Starter
from activityctl.executors.strategies.asked import (
    AskedStrategy,
    StrategyAnswer,
    asked_outcome,
)
from activityctl.executors.strategies.messages import MAX_LOGGED, MessageReader
from activityctl.executors.surroundings import make_folder
from activityctl.executors.trigger_steps import TriggerSteps
from activityctl.ports import ExecutorOutcome, JsonValue, RunStore, TaskCall

GRACE_SECONDS: Final = 5.0
MAX_RESPONSE_BYTES: Final = 1 << 20
_TOO_LARGE: Final = f"the response has more than {MAX_RESPONSE_BYTES:,} bytes"
_PROBE_SECONDS: Final = 30.0
_HAS_SECONDS: Final = 60.0
_LACKS_SECONDS: Final = 5.0
"""How long it is remembered that a strategy is here, or is not."""
_INHERITED: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


class PythonExecutor:
    """Runs the strategy of each attempt in a process of its own, which ends with the attempt.

    So a strategy may block, crash or use much memory without harm to the worker, and a newly
    installed version is used at once. Output: `response`, `durationMs`; of a failed attempt also
    `traceback` and `printed`. A call that the strategy wants is carried out by `steps`.
    """

    kind: ClassVar[str] = "python"
    body: ClassVar[type[BaseModel]] = PythonBody
    reports_progress: ClassVar[bool] = True
    stop_seconds: ClassVar[float] = GRACE_SECONDS + DEATH_SECONDS + DRAIN_SECONDS

    def __init__(
        self,
        runs: RunStore,
        *,
        any_class: bool,
        base_environment: Mapping[str, str],
        steps: TriggerSteps,
    ) -> None:
        """`any_class` allows `module:Class`; without it only entry points are allowed."""
        self._runs = runs
        self._steps = steps
        self._any_class = any_class
        own = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environment = {**base_environment, **own, "PYTHONUNBUFFERED": "1"}
        self._starter = Starter()
        self._known: dict[str, tuple[float, str | None]] = {}
        self._probes = asyncio.Lock()

    async def missing(self, strategy: str) -> str | None:
        """Return why this worker does not have the strategy; None if it has it.

        A strategy that is here but does not work is none that is missing.
        """
        if self._refusal(strategy) is not None:
            return None
        async with self._probes:
            at, reason = self._known.get(strategy, (0.0, None))
            if time.monotonic() < at:
                return reason
            reason = await self._probe(strategy)
            lasts = _HAS_SECONDS if reason is None else _LACKS_SECONDS
            self._known[strategy] = (time.monotonic() + lasts, reason)
            return reason

    async def execute(self, body: PythonBody, call: TaskCall) -> ExecutorOutcome:
        """Run the strategy. Raises TaskError if it fails."""
        if reason := self._refusal(body.strategy):
            raise TaskError(reason, code="not_allowed", retryable=False)
        if body.executor_address is not None:
            strategy = AskedStrategy(self.ask, body, self._steps.clock)
            return await asked_outcome(self._steps, strategy, body.executor_address, call)
        answer = await self.ask(body, call, call.timeout_seconds)
        if answer.task is not None:
            message = (
                "the strategy returned an Executable, but the task makes no calls: add "
                "executorAddress, plugin, policy and relay to it"
            )
            raise TaskError(message, code="bad_output", retryable=False)
        return answer.outcome

    async def ask(
        self,
        body: PythonBody,
        call: TaskCall,
        seconds: float,
        account: Mapping[str, JsonValue] | None = None,
    ) -> StrategyAnswer:
        """Run the strategy once and return what it answers. Raises TaskError if it fails."""
        started = time.monotonic()
        request = {
            "strategy": body.strategy,
            "request": body.request,
            "context": {**await self._context(body, call), "account": account},
        }
        reader, printed = MessageReader(call.progress), Capture()
        printed.mask, printed.heard = call.mask, call.progress
        logging = asyncio.ensure_future(_write_log(reader, call))
        try:
            async with asyncio.timeout(seconds):
                end = await self._run(request, call.task_id, str(call.attempt), (reader, printed))
        except TimeoutError:
            message = f"the strategy did not end within {seconds:g} s"
            output = _output({}, printed, started)
            raise TaskError(message, code="timeout", output=output) from None
        finally:
            reader.entries.put_nowait(None)
            with suppress(asyncio.CancelledError):
                await logging
        return await _answer(reader, end, printed, started, call)

    async def close(self) -> None:
        """End the program that starts processes."""
        self._starter.close()

    def _refusal(self, strategy: str) -> str | None:
        if ":" not in strategy or self._any_class:
            return None
        return (
            "module:Class is disabled on this worker; name an entry point of the group "
            "activityctl.strategies, or set ACTIVITYCTL_ALLOW_COMMANDS=true for the worker"
        )

    async def _context(self, body: PythonBody, call: TaskCall) -> dict[str, JsonValue]:
        try:
            state = await self._runs.load(call.run_id)
        except UnreachableError as error:
            raise TaskError(error.message, code="unreachable") from error
        if state is None:
            message = f"run {call.run_id} does not exist any more"
            raise TaskError(message, code="run_gone", retryable=False)
        run = state.run
        secrets = {
            name: await call.secret(value, host=None) for name, value in body.secrets.items()
        }
        return {
            "run_id": call.run_id,
            "task_id": call.task_id,
            "task": call.name,
            "subscription": run.subscription,
            "definition": run.definition,
            "trigger": run.trigger,
            "attempt": call.attempt,
            "idempotency_key": call.idempotency_key,
            "timeout_seconds": call.timeout_seconds,
            "params": dict(run.params),
            "state": dict(run.state),
            "event": dict(run.events[-1]) if run.events else None,
            "context": dict(run.context),
            "secrets": secrets,
        }

    async def _probe(self, strategy: str) -> str | None:
        reader = MessageReader(lambda: None)
        request = {"strategy": strategy, "probe": True}
        with suppress(TimeoutError, TaskError):
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._run(request, f"probe of {strategy}", "0", (reader, Capture()))
        answer = reader.answer or {}
        return str(answer["error"]) if answer.get("code") == "strategy_missing" else None

    async def _run(
        self,
        request: Mapping[str, JsonValue],
        task_id: str,
        attempt: str,
        captures: tuple[Capture, Capture],
    ) -> str:
        """Run one process until it and all that it started have ended; return how it ended."""
        marks = {"ACTIVITYCTL_TASK_ID": task_id, "ACTIVITYCTL_ATTEMPT": attempt}
        arguments = [sys.executable, "-P", "-m", "activityctl.executors.strategies.child"]
        try:
            folder = make_folder(None)
            spec = ProcessSpec(arguments, {**self._environment, **marks}, folder)
            stdin = json.dumps(request).encode()
            process = await TaskProcess.start(self._starter, spec, stdin, GRACE_SECONDS, captures)
        except (OSError, GuardianLostError) as error:
            raise TaskError(f"cannot start Python: {error}", code="cannot_start") from error
        try:
            # The answer is in the pipe before the process ends, and is read with that news.
            await process.exited()
            await process.drained()
        except GuardianLostError as error:
            return f"was killed, because {error}"
        except asyncio.CancelledError:
            await process.stop(GRACE_SECONDS)
            raise
        finally:
            await process.end()
        return exit_reason(process.exit_code or 0)


async def _write_log(reader: MessageReader, call: TaskCall) -> None:
    while (entry := await reader.entries.get()) is not None:
        level, message, facts = entry
        known = cast("Level", level if level in get_args(Level) else "info")
        await call.log(known, storable(message), _storable(facts))
    if reader.left_out:
        message = (
            f"task {call.name}: {reader.left_out} more entries than {MAX_LOGGED} were left out"
        )
        await call.log("warning", message, {})


def _storable(facts: Mapping[str, Any]) -> dict[str, JsonValue]:
    try:
        found = parse_storable_json(json.dumps(facts))
    except ValueError as error:
        return {"facts": f"not JSON that can be stored: {error}"}
    return dict(found)


async def _answer(
    reader: MessageReader, end: str, printed: Capture, started: float, call: TaskCall
) -> StrategyAnswer:
    """Return what the answer says; `end` is how the process ended."""
    answer = reader.answer
    if answer is None and reader.is_too_long:
        answer = {"code": "bad_output", "error": _TOO_LARGE, "retryable": False}
    if answer is None:
        error = f"the process {end} without an answer{_tail(printed)}"
        answer = {"code": "crashed", "error": error}
    output = _output(answer, printed, started)
    if "skipped" in answer:
        outcome = ExecutorOutcome(output, skipped=storable(str(answer["skipped"])))
        return StrategyAnswer(outcome)
    if "code" in answer:
        message = storable(str(answer["error"]))
        if answer.get("traceback"):
            facts = {"traceback": storable(str(answer["traceback"]))}
            await call.log("error", f"task {call.name} attempt {call.attempt}: {message}", facts)
        may_retry = bool(answer.get("retryable", True))
        code = str(answer["code"])
        raise TaskError(message, code=code, retryable=may_retry, output=output)
    found = _checked(answer.get("task", answer.get("response")))
    if "task" in answer:
        return StrategyAnswer(ExecutorOutcome(output), found)
    return StrategyAnswer(ExecutorOutcome({"response": found, "durationMs": output["durationMs"]}))


def _checked(value: JsonValue) -> JsonValue:
    text = json.dumps(value, ensure_ascii=False)
    if len(text.encode("utf-8", "replace")) > MAX_RESPONSE_BYTES:
        raise TaskError(_TOO_LARGE, code="bad_output", retryable=False)
    try:
        return parse_storable_json(text)
    except ValueError as failure:
        message = f"the response is not JSON that can be stored: {failure}"
        raise TaskError(message, code="bad_output", retryable=False) from failure


def _output(answer: Mapping[str, Any], printed: Capture, started: float) -> dict[str, JsonValue]:
    output: dict[str, JsonValue] = {
        "response": None,
        "durationMs": round((time.monotonic() - started) * 1000),
    }
    if text := storable(printed.text()):
        output["printed"] = text
    if answer.get("traceback"):
        output["traceback"] = storable(str(answer["traceback"]))
    return output


def _tail(printed: Capture) -> str:
    lines = storable(printed.text()).strip().splitlines()
    return f": {lines[-1][:300]}" if lines else ""
