"""The `command` task: runs a program on the worker's machine; `process` manages the process."""

import asyncio
import errno
import signal
import time
from collections.abc import Mapping
from typing import ClassVar, Final

from pydantic import (
    BaseModel,
)

from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.size import format_size
from activityctl.domain.values.untrusted import parse_storable_json, storable
from activityctl.errors import TaskError, reason_of
from activityctl.executors.capture import OUTPUT_BYTES, Capture
from activityctl.executors.command_body import CommandBody, CommandLimits
from activityctl.executors.live_log import LiveLog
from activityctl.executors.process import (
    DEATH_SECONDS,
    DRAIN_SECONDS,
    GuardianLostError,
    ProcessSpec,
    TaskProcess,
    exit_reason,
)
from activityctl.executors.starter import Starter
from activityctl.executors.surroundings import (
    find_account,
    make_folder,
    variables_of,
)
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall

GRACE_SECONDS: Final = 5.0
QUOTED_CHARACTERS: Final = 500
_QUOTED_OUTPUT: Final = 150
"""How much of the last line of standard output is quoted beside standard error."""
_TEMPORARY_ERRORS: Final = frozenset(
    {
        errno.EAGAIN,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ETXTBSY,
        errno.ETOOMANYREFS,  # too many descriptors are on their way to guardians
    }
)


class CommandExecutor:
    """Runs one program for each attempt; all its processes end with the attempt.

    After `timeout_seconds`, or when cancelled, they get SIGTERM, and SIGKILL `grace_seconds`
    later. Output, also of a failed attempt: `exitCode`, `stdout`, `stderr` (each at most 64 KiB,
    the middle left out), `stdoutBytes`, `stderrBytes`, `json`, `durationMs`.
    """

    kind: ClassVar[str] = "command"
    body: ClassVar[type[BaseModel]] = CommandBody
    reports_progress: ClassVar[bool] = True
    stop_seconds: ClassVar[float] = GRACE_SECONDS + DEATH_SECONDS + DRAIN_SECONDS

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
        self._starter = Starter()

    async def execute(self, body: CommandBody, call: TaskCall) -> ExecutorOutcome:
        """Run the program. Raises TaskError unless its exit code is one of `successCodes`."""
        if not self._allowed:
            raise TaskError(
                "command tasks are disabled; set ACTIVITYCTL_ALLOW_COMMANDS=true for the worker",
                code="not_allowed",
                retryable=False,
            )
        started = time.monotonic()
        variables = {**self._base, **_call_variables(call)}
        written = {name: await call.secret(value, host=None) for name, value in body.env.items()}
        live = LiveLog(call)
        captures = Capture(), Capture()
        for stream, capture in zip(("stdout", "stderr"), captures, strict=True):
            capture.mask, capture.heard, capture.added = call.mask, call.progress, live.of(stream)
        try:
            process = await self._start(body, variables, written, captures)
            return await self._finished(process, body, call, started)
        finally:
            await live.finish()

    async def _finished(
        self, process: TaskProcess, body: CommandBody, call: TaskCall, started: float
    ) -> ExecutorOutcome:
        reason: str | None = None
        try:
            reason = await self._wait(process, call.timeout_seconds)
        except asyncio.CancelledError:
            await _end(process, call)
            await call.stopped(_output(process, started), last_lines(process))
            raise
        except GuardianLostError as error:
            reason = str(error)
        finally:
            await _end(process, call)
        output = _output(process, started)
        if reason is not None:
            code = "timeout" if reason.startswith("did not") else "exit_code"
            raise TaskError(reason + _quoted(process), code=code, output=output)
        return _outcome(body, process, output)

    async def close(self) -> None:
        """End the program that starts commands."""
        self._starter.close()

    async def _start(
        self,
        body: CommandBody,
        environment: Mapping[str, str],
        written: Mapping[str, str],
        captures: tuple[Capture, Capture],
    ) -> TaskProcess:
        """Start the program; variables that the manifest has written win over all others."""
        arguments = body.argv or ["/bin/sh", "-c", body.shell or ""]
        stdin = None if body.stdin is None else body.stdin.encode("utf-8", errors="replace")
        account = find_account(body.user)
        try:
            folder = make_folder(account)
        except OSError as error:
            raise _cannot_start(error, "the folder of the attempt") from error
        spec = ProcessSpec(
            arguments,
            {**environment, **variables_of(folder, account), **written},
            folder,
            body.cwd,
            None if account is None else (account.groups, account.group, account.number),
            body.limits.of_processes(),
        )
        grace = self._grace_seconds
        try:
            return await TaskProcess.start(self._starter, spec, stdin, grace, captures)
        except OSError as error:
            raise _cannot_start(error, arguments[0]) from error
        except GuardianLostError as error:
            raise TaskError(str(error), code="exit_code") from error
        except ValueError as error:  # a NUL or a lone surrogate in an argument
            raise TaskError(
                f"cannot start: {error}", code="cannot_start", retryable=False
            ) from error

    async def _wait(self, process: TaskProcess, seconds: float) -> str | None:
        """Wait until the program has ended; return why it was stopped, if it was."""
        try:
            async with asyncio.timeout(seconds):
                await process.exited()
            await process.drained()
        except TimeoutError:
            await process.stop(self._grace_seconds)
            return f"did not end within {seconds:g} s"
        except asyncio.CancelledError:
            await process.stop(self._grace_seconds)
            raise
        return None


async def _end(process: TaskProcess, call: TaskCall) -> None:
    """End what is left of the processes; say in the log which of them would not end."""
    await process.end()
    if left := process.take_left():
        message = f"task {call.name}: processes did not end after SIGKILL: {left}"
        await call.log("error", message, {"pids": list(left)})


def _call_variables(call: TaskCall) -> dict[str, str]:
    return {
        "ACTIVITYCTL_RUN_ID": call.run_id,
        "ACTIVITYCTL_TASK_ID": call.task_id,
        "ACTIVITYCTL_ATTEMPT": str(call.attempt),
        "ACTIVITYCTL_IDEMPOTENCY_KEY": call.idempotency_key,
    }


def _cannot_start(error: OSError, name: str) -> TaskError:
    reason = f"{reason_of(error)}: {error.filename or name}"
    may_retry = error.errno in _TEMPORARY_ERRORS
    return TaskError(f"cannot start: {reason}", code="cannot_start", retryable=may_retry)


def _output(process: TaskProcess, started: float) -> dict[str, JsonValue]:
    return {
        "exitCode": process.exit_code,
        "stdout": storable(process.stdout.text()),
        "stderr": storable(process.stderr.text()),
        "stdoutBytes": process.stdout.total,
        "stderrBytes": process.stderr.total,
        "json": None,
        "durationMs": round((time.monotonic() - started) * 1000),
    }


def _outcome(
    body: CommandBody, process: TaskProcess, output: dict[str, JsonValue]
) -> ExecutorOutcome:
    exit_code = output["exitCode"]
    if exit_code not in body.success_codes:
        if (limit := _limit_reached(exit_code, body.limits)) is not None:
            raise TaskError(limit + _quoted(process), code="resource_limit", output=output)
        message = exit_reason(exit_code) + _quoted(process)
        raise TaskError(message, code="exit_code", output=output)
    if body.parse == "json":
        output = {**output, "json": _json(process.stdout, output)}
    return ExecutorOutcome(output)


def _json(capture: Capture, output: JsonValue) -> JsonValue:
    if not capture.is_whole:
        raise _bad_output(f"it is longer than {OUTPUT_BYTES:,} bytes", output)
    try:
        return parse_storable_json(capture.text())
    except ValueError as error:
        raise _bad_output(str(error), output) from error


def _bad_output(reason: str, output: JsonValue) -> TaskError:
    message = f"standard output is not JSON that can be stored: {reason}"
    return TaskError(message, code="bad_output", retryable=False, output=output)


def _limit_reached(exit_code: JsonValue, limits: CommandLimits) -> str | None:
    """Return which limit ended the command; a shell tells the signal of its last program."""
    if limits.cpu is not None and exit_code in _ends_by(signal.SIGXCPU, signal.SIGKILL):
        return f"used more than {format_duration(limits.cpu)} of CPU time (limits.cpu)"
    if limits.file_size is not None and exit_code in _ends_by(signal.SIGXFSZ):
        return f"wrote a file of more than {format_size(limits.file_size)} (limits.fileSize)"
    return None


def _ends_by(*signals: signal.Signals) -> set[int]:
    return {code for number in signals for code in (-number, 128 + number)}


def last_lines(process: TaskProcess) -> str:
    """Return the end of what the program wrote; of both streams, if it wrote to both."""
    errors, output = (
        storable(capture.text()).strip() for capture in (process.stderr, process.stdout)
    )
    if not errors or not output:
        return (errors or output)[-QUOTED_CHARACTERS:]
    last = f"; stdout: {output.splitlines()[-1][-_QUOTED_OUTPUT:]}"
    start = "stderr: "
    return f"{start}{errors[-(QUOTED_CHARACTERS - len(start) - len(last)) :]}{last}"


def _quoted(process: TaskProcess) -> str:
    text = last_lines(process)
    return f": {text}" if text else ""
