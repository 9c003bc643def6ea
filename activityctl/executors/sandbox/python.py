"""Runs Python code in monty, an interpreter without files, network and environment."""

import datetime as dt
import json
import keyword
from collections.abc import Callable
from typing import Any, Final

import pydantic_monty as monty

from activityctl.executors.sandbox.answers import CodeError, check_length
from activityctl.executors.sandbox.confinement import (
    hide_memory,
    limit_space,
    limit_time,
    only_read,
)

_CLIENT_BYTES: Final = 256 << 20
"""What this process and the interpreter need beside the memory of the code."""
_EXTRA_SECONDS: Final = 1.0
_TEXTS: Final = (dt.date, dt.time)


def run(request: dict[str, Any], printed: Callable[[str], None]) -> Any:
    """Return the value of the last expression as JSON; raise CodeError."""
    seconds, memory = request["cpuSeconds"], request["memoryBytes"]
    hide_memory()
    limit_space(_CLIENT_BYTES + memory)
    only_read()
    limit_time(seconds + _EXTRA_SECONDS)
    limits: monty.ResourceLimits = {
        "max_feed_duration_secs": seconds,
        "max_memory": memory,
        "max_total_sleep_secs": seconds,
    }
    inputs = request["inputs"]
    names = {
        name: value
        for name, value in inputs.items()
        if name.isidentifier() and not keyword.iskeyword(name)
    }
    try:
        with (
            monty.Monty(
                binary_path=request["monty"],
                max_processes=1,
                feed_duration_limit_grace=_EXTRA_SECONDS,
                turn_duration_limit_grace=_EXTRA_SECONDS,
            ) as pool,
            pool.checkout(limits=limits) as session,
        ):
            value = session.feed_run(
                request["source"],
                inputs={**names, "inputs": inputs},
                print_callback=lambda _stream, text: printed(text),
            )
            return json.loads(_text(value))
    except monty.MontyCrashedError as error:
        raise _crashed(error) from error
    except monty.MontyError as error:
        raise _failed(error) from error


def _text(value: Any) -> str:
    try:
        text = json.dumps(value, default=_jsonable, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CodeError("bad_output", f"the value is not JSON: {error}") from error
    check_length(text)
    return text


def _jsonable(value: Any) -> Any:
    if isinstance(value, _TEXTS):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a {type(value).__name__} cannot be returned")


def _crashed(error: monty.MontyCrashedError) -> CodeError:
    if getattr(error, "timed_out", False):
        return CodeError("cpu_limit")
    return CodeError("crashed", f"the interpreter crashed: {error}")


def _failed(error: monty.MontyError) -> CodeError:
    cause = error.exception()
    if isinstance(cause, MemoryError):
        return CodeError("memory_limit")
    if isinstance(cause, TimeoutError) and "limit" in str(cause):
        return CodeError("cpu_limit")
    if not isinstance(error, monty.MontyRuntimeError | monty.MontySyntaxError):
        return CodeError("code_error", str(error))
    frames = error.traceback()
    where = f"line {frames[-1].line}: " if frames else ""
    text = error.display().replace("<python-input-0>", "code.py")
    return CodeError("code_error", where + error.display("type-msg"), text)
