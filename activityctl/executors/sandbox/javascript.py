"""Runs JavaScript code in V8, without any object of a browser or of Node.js."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, Final

import py_mini_racer as racer

from activityctl.executors.sandbox.answers import CodeError, check_length
from activityctl.executors.sandbox.confinement import (
    hide_memory,
    limit_space,
    limit_time,
    only_compute,
)

_FLAGS: Final = ("--single-threaded", "--jitless", "--stack-size=800")
"""Without a compiler: most faults of V8 that were used for an escape were in compilers."""
_SLACK_BYTES: Final = 48 << 20
_MEGABYTE: Final = 1 << 20
_PRELUDE: Final = """
(print, inputs) => {
  const {parse, stringify} = JSON, text = String, run = eval;
  const data = parse(inputs);
  const show = (value) => {
    if (typeof value === "string") return value;
    try { return stringify(value, plain) ?? text(value); } catch { return text(value); }
  };
  let pending = "", calls = 0, sent = 0;
  const flush = () => { const all = pending; pending = ""; if (all) print(all); };
  const log = (...values) => {
    pending += values.map(show).join(" ") + "\\n";
    if (sent > 1000000) { pending = ""; return; }
    if (++calls <= 200 || pending.length > 8000) { sent += pending.length; flush(); }
  };
  const plain = (key, value) => typeof value === "bigint" ? text(value) : value;
  for (const name of ["WebAssembly", "__timer_manager"]) delete globalThis[name];
  globalThis.console = {log, info: log, debug: log, warn: log, error: log};
  for (const name of Object.keys(data)) globalThis[name] = data[name];
  globalThis.inputs = data;
  return async (source) => {
    try { return stringify(await run(source), plain) ?? "null"; } finally { flush(); }
  };
}
"""
_OWN_FRAME: Final = re.compile(r"^    at .*<anonymous>(:\d+:\d+)?\)?$")
_PLACE: Final = re.compile(r"\bcode\.js:(\d+)")
_FILE: Final = "\n//# sourceURL=code.js"


def run(request: dict[str, Any], printed: Callable[[str], None]) -> Any:
    """Return the value of the last expression as JSON; raise CodeError."""
    return asyncio.run(_run(request, printed))


async def _run(request: dict[str, Any], printed: Callable[[str], None]) -> Any:
    heap = f"--max-heap-size={max(request['memoryBytes'] // _MEGABYTE, 8)}"
    racer.init_mini_racer(flags=[*_FLAGS, heap])
    with racer.mini_racer() as context:
        context.set_hard_memory_limit(request["memoryBytes"])

        async def show(*values: Any) -> None:
            printed(str(values[0]))

        async with context.wrap_py_function(show) as shown:
            prelude: Any = context.eval(_PRELUDE)
            evaluate = prelude(shown, json.dumps(request["inputs"])).cancelable()
            hide_memory()
            limit_space(_SLACK_BYTES + request["memoryBytes"])
            limit_time(request["cpuSeconds"])
            only_compute()
            text = await _text(evaluate, request)
    check_length(text)
    return json.loads(text)


async def _text(evaluate: Any, request: dict[str, Any]) -> str:
    """Return the JSON of the value; a promise is awaited."""
    try:
        promise = await evaluate(request["source"] + _FILE)
        return str(await promise)
    except racer.JSOOMException as error:
        raise CodeError("memory_limit") from error
    except (racer.JSEvalException, racer.JSPromiseError) as error:
        raise _failed(str(error)) from error


def _failed(text: str) -> CodeError:
    text = text.strip().removeprefix("JavaScript rejected promise with reason: ")
    lines = [line for line in text.splitlines() if not _OWN_FRAME.search(line)]
    place = _PLACE.search(text)
    first = lines[0] if lines else "the code failed"
    where = f"line {place[1]}: " if place else ""
    return CodeError("code_error", where + first, "\n".join(lines))
