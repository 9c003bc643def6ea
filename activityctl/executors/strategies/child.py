"""Runs one attempt of a strategy: one request on stdin, messages of one JSON line each on stdout.

What the strategy prints goes to stderr. Messages: `log`, `heartbeat`, and at last one `answer`.
"""

import asyncio
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any, Final

from activityctl.strategy import Executable, Skip, StrategyError

GROUP: Final = "activityctl.strategies"
_MOST_LOGGED: Final = 8_000


class MissingStrategyError(Exception):
    """This machine does not have the strategy."""


class _Messages:
    """The pipe to the worker."""

    def __init__(self) -> None:
        self._file = os.dup(1)
        os.dup2(2, 1)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a file

    def send(self, kind: str, value: Any) -> None:
        """Send one message; from any thread."""
        data = json.dumps({kind: value}, ensure_ascii=False, default=str)
        rest = data.encode("utf-8", "replace") + b"\n"
        while rest:
            rest = rest[os.write(self._file, rest) :]


class AttemptContext(SimpleNamespace):
    """The context that a strategy gets; see `activityctl.strategy.Context`."""

    def __init__(self, messages: _Messages, facts: dict[str, Any]) -> None:
        super().__init__(**facts)
        self._messages = messages
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether the attempt has to stop."""
        return self._is_cancelled

    def log(self, message: str, level: str = "info", **facts: Any) -> None:
        """Write into the log of the run."""
        self._messages.send("log", [level, str(message)[:_MOST_LOGGED], facts])

    def heartbeat(self) -> None:
        """Say that the attempt goes on."""
        self._messages.send("heartbeat", None)

    def cancel(self) -> None:
        """Note that the attempt has to stop."""
        self._is_cancelled = True


def find_strategy(name: str) -> Any:
    """Return the class. Raises MissingStrategyError if it is not here."""
    if ":" in name:
        module, _, attribute = name.partition(":")
    else:
        found = next(iter(entry_points(group=GROUP, name=name)), None)
        if found is None:
            raise MissingStrategyError(f"no installed package has a strategy named {name}")
        module, attribute = found.module, found.attr
    try:
        place: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise MissingStrategyError(f"there is no module {module}") from None
        raise
    for part in attribute.split("."):
        place = getattr(place, part, None)
    if place is None:
        raise MissingStrategyError(f"module {module} has no class {attribute}")
    if not inspect.iscoroutinefunction(getattr(place, "execute", None)):
        raise StrategyError(f"{name} has no coroutine execute(context, request)", retryable=False)
    return place


async def _run(strategy: Any, context: AttemptContext, request: Any) -> Any:
    task = asyncio.ensure_future(strategy().execute(context, request))
    loop = asyncio.get_running_loop()

    def stop(*_signal: Any) -> None:
        context.cancel()
        loop.call_soon_threadsafe(task.cancel)

    signal.signal(signal.SIGTERM, stop)
    return await task


def _task(executable: Executable) -> dict[str, Any]:
    """Return the call as the response of an executor has it; the worker checks it."""
    data = executable.data
    return {
        "executable": {
            "callType": executable.call_type,
            "to": executable.to,
            "value": str(executable.value),
            "data": f"0x{data.hex()}" if isinstance(data, bytes) else data,
        },
        "executorSignature": executable.executor_signature,
    }


def _answer(  # noqa: PLR0911 - one answer for each end
    request: dict[str, Any], messages: _Messages
) -> dict[str, Any]:
    try:
        strategy = find_strategy(request["strategy"])
        if request.get("probe"):
            return {"response": None}
        context = AttemptContext(messages, request["context"])
        response = asyncio.run(_run(strategy, context, request["request"]))
        if isinstance(response, Executable):
            return {"task": _task(response)}
        return {"response": json.loads(json.dumps(response, allow_nan=False))}
    except MissingStrategyError as error:
        return {"code": "strategy_missing", "error": str(error), "retryable": True}
    except Skip as skip:
        return {"skipped": str(skip) or "the strategy skipped"}
    except StrategyError as error:
        return {"code": error.code, "error": str(error), "retryable": error.retryable}
    except asyncio.CancelledError:
        return {"code": "cancelled", "error": "the strategy was cancelled", "retryable": True}
    except BaseException as error:  # noqa: BLE001 - whatever it is, the log has to tell it
        return {
            "code": "strategy_error",
            "error": "".join(traceback.format_exception_only(error)).strip(),
            "traceback": traceback.format_exc(),
            "retryable": True,
        }


def main() -> None:
    """Run one request and answer it."""
    messages = _Messages()
    request = json.loads(sys.stdin.buffer.read())
    messages.send("answer", _answer(request, messages))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of the strategy must not keep the attempt open


if __name__ == "__main__":
    main()
