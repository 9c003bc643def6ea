"""The `code` task: runs Python or JavaScript that reaches nothing outside; see `sandbox`."""

import asyncio
import json
import os
import signal
import sys
import time
from datetime import timedelta
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from activityctl.domain.values.duration import LimitDuration, format_duration
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.size import Size, format_size
from activityctl.domain.values.text import SOURCE_MARK
from activityctl.domain.values.untrusted import parse_storable_json, storable
from activityctl.errors import TaskError
from activityctl.executors.capture import Capture
from activityctl.executors.process import (
    DEATH_SECONDS,
    GuardianLostError,
    ProcessSpec,
    TaskProcess,
    exit_reason,
)
from activityctl.executors.sandbox.answers import ANSWER, MAX_VALUE_BYTES
from activityctl.executors.starter import Starter
from activityctl.executors.surroundings import make_folder
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall

MAX_AT_ONCE: Final = 4
"""How many code tasks run at the same time in one worker; each is a process of about 70 MB."""
_ANSWER_BYTES: Final = 2 * MAX_VALUE_BYTES + 512 * 1024
_CHILD: Final = Path(__file__).parent / "sandbox" / "child.py"
_MODULES: Final = {"python": "pydantic_monty", "javascript": "py_mini_racer"}
_OWN_PATH: Final = str(Path(__file__).parents[2])
_FINAL: Final = frozenset({"bad_output", "code_error", "cpu_limit", "memory_limit"})
"""The same code with the same inputs would fail again."""


class CodeLimits(Manifest):
    """What one attempt may use. Its time is limited by `timeout.startToClose` of the task."""

    cpu: LimitDuration = Field(
        default=timedelta(seconds=10),
        description="CPU time. Default: 10s.",
        examples=["2s"],
        le=timedelta(hours=1),
    )
    memory: Size = Field(
        default=128 << 20,
        description="Memory for the data of the code. Default: 128MiB.",
        examples=["256MiB"],
        ge=8 << 20,
        le=4 << 30,
    )


class CodeBody(Manifest):
    """Runs code that reaches no files, no network and no environment.

    The result is the value of the last expression.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("python", "javascript")
            ]
        }
    )

    python: str | None = Field(
        default=None,
        description="Python code, for the interpreter Monty. `${ … }` is not evaluated in it: "
        "values come from inputs.",
        min_length=1,
        max_length=100_000,
        examples=["sum(order['amount'] for order in orders)"],
        json_schema_extra={SOURCE_MARK: "text/x-python"},
    )
    javascript: str | None = Field(
        default=None,
        description="JavaScript code, for V8. `${ … }` is JavaScript's own: values come from "
        "inputs.",
        min_length=1,
        max_length=100_000,
        examples=["orders.map(order => order.id)"],
        json_schema_extra={SOURCE_MARK: "text/javascript"},
    )
    inputs: dict[str, JsonValue] = Field(
        default={},
        description="Values for the code: each is a variable with its name, and `inputs` has all.",
        examples=[{"orders": "${ event.data.orders }"}],
    )
    limits: CodeLimits = Field(
        default=CodeLimits(), description="What one attempt may use.", examples=[{"cpu": "2s"}]
    )

    @model_validator(mode="after")
    def _has_one_language(self) -> Self:
        if (self.python is None) == (self.javascript is None):
            raise ValueError("exactly one of python and javascript is required")
        return self


class CodeExecutor:
    """Runs the code of each attempt in a process of its own, which ends with the attempt.

    Output: `value`, `stdout` (what was printed, at most 64 KiB, the middle left out),
    `stdoutBytes`, `cpuMs`, `durationMs`; of a failed attempt also `traceback`.
    """

    kind: ClassVar[str] = "code"
    body: ClassVar[type[BaseModel]] = CodeBody
    stop_seconds: ClassVar[float] = DEATH_SECONDS

    def __init__(self) -> None:
        self._starter = Starter()
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def execute(self, body: CodeBody, call: TaskCall) -> ExecutorOutcome:
        """Run the code. Raises TaskError if it fails or needs more than its limits."""
        language = "python" if body.python is not None else "javascript"
        request = {
            "language": language,
            "source": body.python if body.python is not None else body.javascript,
            "inputs": body.inputs,
            "cpuSeconds": body.limits.cpu.total_seconds(),
            "memoryBytes": body.limits.memory,
            "monty": _monty() if language == "python" else None,
        }
        path = _library_path(language)
        captures = (Capture(), Capture(_ANSWER_BYTES))
        started = time.monotonic()
        limit = call.timeout_seconds
        try:
            async with asyncio.timeout(limit), self._slots:
                exit_code = await self._run(request, path, call, captures)
        except TimeoutError:
            output = _output({}, captures[0], started)
            message = f"the code did not end within {limit:g} s (timeout.startToClose)"
            raise TaskError(message, code="timeout", output=output) from None
        answer = _answer(captures[1], exit_code)
        output = _output(answer, captures[0], started)
        if "code" in answer:
            raise _error(answer, body.limits, output)
        return ExecutorOutcome(output)

    async def close(self) -> None:
        """End the program that starts processes."""
        self._starter.close()

    async def _run(
        self,
        request: dict[str, JsonValue],
        path: str,
        call: TaskCall,
        captures: tuple[Capture, Capture],
    ) -> int | None:
        """Run one process; return its exit code, or None if it is not known."""
        marks = {
            "ACTIVITYCTL_TASK_ID": call.task_id,
            "ACTIVITYCTL_ATTEMPT": str(call.attempt),
        }
        arguments = [sys.executable, "-I", "-S", str(_CHILD), _OWN_PATH, path]
        stdin = json.dumps(request).encode()
        try:
            folder = make_folder(None)
            process = await TaskProcess.start(
                self._starter, ProcessSpec(arguments, marks, folder), stdin, 0.0, captures
            )
        except (OSError, GuardianLostError) as error:
            raise TaskError(
                f"cannot start the interpreter: {error}", code="cannot_start"
            ) from error
        try:
            await process.exited()
            await process.drained()
        except GuardianLostError:
            return None
        finally:
            await process.end()
        return process.exit_code


@cache
def _monty() -> str:
    """Return the path of the program in which monty runs."""
    try:
        files = distribution("pydantic-monty-runtime").files or []
    except PackageNotFoundError:
        raise _not_installed("python") from None
    found = next((file for file in files if file.name == "monty"), None)
    if found is None:
        raise _not_installed("python")
    return os.path.realpath(str(found.locate()))


@cache
def _library_path(language: str) -> str:
    """Return the folder from which the library is imported."""
    found = find_spec(_MODULES[language])
    if found is None or found.origin is None:
        raise _not_installed(language)
    return str(Path(found.origin).parents[1])


def _not_installed(language: str) -> TaskError:
    message = f"code in {language} needs a library: install activityctl[code] on the worker"
    return TaskError(message, code="not_installed", retryable=False)


def _answer(capture: Capture, exit_code: int | None) -> dict[str, Any]:
    """Return the answer of the process; if there is none, what its end means."""
    text = capture.text()
    line = text.rpartition(ANSWER)[2] if ANSWER in text else ""
    if line and capture.is_whole:
        try:
            answer: dict[str, Any] = parse_storable_json(line)
        except ValueError as error:
            return {"code": "bad_output", "error": f"the value is not JSON to store: {error}"}
        return answer
    if exit_code in (-signal.SIGPROF, -signal.SIGXCPU):
        return {"code": "cpu_limit", "error": ""}
    if "out of memory" in text or "OOM" in text:
        return {"code": "memory_limit", "error": ""}
    end = "was killed" if exit_code is None else exit_reason(exit_code)
    return {"code": "crashed", "error": f"the interpreter {end}"}


def _output(answer: dict[str, Any], printed: Capture, started: float) -> dict[str, JsonValue]:
    output: dict[str, JsonValue] = {
        "value": answer.get("value"),
        "stdout": storable(printed.text()),
        "stdoutBytes": printed.total,
        "cpuMs": answer.get("cpuMs"),
        "durationMs": round((time.monotonic() - started) * 1000),
    }
    if answer.get("traceback"):
        output["traceback"] = answer["traceback"]
    return output


def _error(answer: dict[str, Any], limits: CodeLimits, output: JsonValue) -> TaskError:
    match code := str(answer["code"]):
        case "cpu_limit":
            message = f"used more than {format_duration(limits.cpu)} of CPU time (limits.cpu)"
        case "memory_limit":
            message = f"needs more than {format_size(limits.memory)} of memory (limits.memory)"
        case _:
            message = str(answer["error"])
    return TaskError(storable(message), code=code, retryable=code not in _FINAL, output=output)
