"""The `command` task: runs a program on the worker's machine; `process` manages the process."""

import asyncio
import errno
import json
import signal
import time
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from activityctl.domain.values.model import Manifest
from activityctl.domain.values.untrusted import parse_storable_json, storable
from activityctl.errors import TaskError
from activityctl.executors.process import OUTPUT_BYTES, Capture, TaskProcess
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall

GRACE_SECONDS: Final = 5.0
QUOTED_CHARACTERS: Final = 500
_TEMPORARY_ERRORS: Final = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY}
)


def _to_text(value: object) -> object:
    """Convert numbers and booleans from rendered templates to their JSON text."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


Word = Annotated[
    str, BeforeValidator(_to_text), WithJsonSchema({"type": ["string", "number", "boolean"]})
]


def _check_variable(name: str) -> str:
    if not name or "=" in name:
        raise ValueError("is not a valid name of an environment variable")
    return name


class CommandBody(Manifest):
    """The fields of `command:`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("argv", "shell")
            ]
        }
    )

    argv: Annotated[list[Word], Field(min_length=1)] | None = Field(
        default=None,
        description="The program and its arguments. They are passed unchanged, without a shell.",
        examples=[["echo", "${ run.id }"]],
    )
    shell: str | None = Field(
        default=None, description="A script, run with /bin/sh -c.", examples=["df -h | tail -n 1"]
    )
    env: dict[Annotated[str, AfterValidator(_check_variable)], Word] = Field(
        default={},
        description="Environment variables for the program, in addition to a small safe set.",
        examples=[{"REGION": "${ run.id }"}],
        json_schema_extra={"propertyNames": {"pattern": "^[^=]+$"}},
    )
    cwd: str | None = Field(
        default=None, description="The working directory of the program.", examples=["/srv/data"]
    )
    stdin: str | None = Field(
        default=None,
        description="Text for the standard input of the program.",
        examples=["${ run.id }"],
    )
    parse: Literal["text", "json"] = Field(
        default="text",
        description="How to read standard output: as text or as JSON.",
        examples=["json"],
    )
    success_codes: list[int] = Field(
        default=[0], description="Exit codes that mean success.", min_length=1, examples=[[0, 1]]
    )

    @model_validator(mode="after")
    def _has_one_program(self) -> Self:
        if (self.argv is None) == (self.shell is None):
            raise ValueError("exactly one of argv and shell is required")
        return self


class CommandExecutor:
    """Runs one program for each attempt, in a process group that ends with the attempt.

    After `timeout_seconds`, or when cancelled, the group gets SIGTERM, and SIGKILL
    `grace_seconds` later. A grandchild that starts its own session leaves the group. Output:
    `exitCode`, `stdout`, `stderr` (each at most 64 KiB, the middle left out), `stdoutBytes`,
    `stderrBytes`, `json`, `durationMs`.
    """

    kind: ClassVar[str] = "command"
    body: ClassVar[type[BaseModel]] = CommandBody

    def __init__(
        self,
        *,
        allowed: bool,
        base_environment: Mapping[str, str],
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._allowed = allowed
        self._base = dict(base_environment)
        self._grace_seconds = grace_seconds

    async def execute(self, body: CommandBody, call: TaskCall) -> ExecutorOutcome:
        """Run the program. Raises TaskError unless its exit code is one of `successCodes`."""
        if not self._allowed:
            raise TaskError(
                "command tasks are disabled; set ACTIVITYCTL_ALLOW_COMMANDS=true for the worker",
                code="not_allowed",
                retryable=False,
            )
        started = time.monotonic()
        process = _start(body, {**self._base, **_call_variables(call), **body.env})
        try:
            await self._wait(process, call.timeout_seconds)
        except TimeoutError:
            message = f"did not end within {call.timeout_seconds:g} s" + _quoted(process.stderr)
            raise TaskError(message, code="timeout") from None
        finally:
            exit_code = process.close()
        output = _output(body, process, exit_code)
        return ExecutorOutcome({**output, "durationMs": round((time.monotonic() - started) * 1000)})

    async def close(self) -> None:
        """Do nothing: no resources are kept between attempts."""

    async def _wait(self, process: TaskProcess, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await process.exited()
            await process.drained()
        except (TimeoutError, asyncio.CancelledError):
            await process.stop(self._grace_seconds)
            raise


def _call_variables(call: TaskCall) -> dict[str, str]:
    return {
        "ACTIVITYCTL_RUN_ID": call.run_id,
        "ACTIVITYCTL_TASK_ID": call.task_id,
        "ACTIVITYCTL_ATTEMPT": str(call.attempt),
        "ACTIVITYCTL_IDEMPOTENCY_KEY": call.idempotency_key,
    }


def _start(body: CommandBody, environment: Mapping[str, str]) -> TaskProcess:
    arguments = body.argv or ["/bin/sh", "-c", body.shell or ""]
    try:
        stdin = None if body.stdin is None else body.stdin.encode("utf-8", errors="replace")
        return TaskProcess(arguments, environment=environment, directory=body.cwd, stdin=stdin)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename or arguments[0]}"
        may_retry = error.errno in _TEMPORARY_ERRORS
        raise TaskError(
            f"cannot start: {reason}", code="cannot_start", retryable=may_retry
        ) from error
    except ValueError as error:  # a NUL or a lone surrogate in an argument
        raise TaskError(f"cannot start: {error}", code="cannot_start", retryable=False) from error


def _output(body: CommandBody, process: TaskProcess, exit_code: int) -> dict[str, JsonValue]:
    if exit_code not in body.success_codes:
        raise TaskError(_exit_reason(exit_code) + _quoted(process.stderr), code="exit_code")
    stdout = process.stdout.text()
    return {
        "exitCode": exit_code,
        "stdout": storable(stdout),
        "stderr": storable(process.stderr.text()),
        "stdoutBytes": process.stdout.total,
        "stderrBytes": process.stderr.total,
        "json": _json(process.stdout, stdout) if body.parse == "json" else None,
    }


def _json(capture: Capture, text: str) -> JsonValue:
    if not capture.is_whole:
        raise _bad_output(f"it is longer than {OUTPUT_BYTES:,} bytes")
    try:
        return parse_storable_json(text)
    except ValueError as error:
        raise _bad_output(str(error)) from error


def _bad_output(reason: str) -> TaskError:
    message = f"standard output is not JSON that can be stored: {reason}"
    return TaskError(message, code="bad_output", retryable=False)


def _exit_reason(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-exit_code}"


def _quoted(stderr: Capture) -> str:
    text = storable(stderr.text()).strip()[-QUOTED_CHARACTERS:]
    return f": {text}" if text else ""
