"""Runs the code of one `code` task: `python -I -S child.py PATH ...`, one request on stdin.

The request is JSON: `language`, `source`, `inputs`, `cpuSeconds`, `memoryBytes`. What the code
prints goes to stdout as it is printed. The answer is the last line of stderr, after ANSWER: JSON
with `value`, or with `code` and `error`.
"""

import json
import os
import resource
import sys
from typing import Any

if __name__ == "__main__":
    sys.path += sys.argv[1:]

from activityctl.executors.sandbox.answers import ANSWER, CodeError


def printed(text: str) -> None:
    """Pass on what the code has printed."""
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(1, data) :]


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["language"] == "python":
        from activityctl.executors.sandbox.python import run
    else:
        from activityctl.executors.sandbox.javascript import run
    try:
        value = run(request, printed)
    except CodeError as error:
        return {"code": error.code, "error": str(error), "traceback": error.traceback}
    except MemoryError:
        return {"code": "memory_limit", "error": ""}
    except Exception as error:  # noqa: BLE001  # a fault of ours must be told, not lost
        return {"code": "crashed", "error": f"{type(error).__name__}: {error}"}
    return {"value": value}


def main() -> None:
    """Run one request and answer it."""
    request = json.loads(sys.stdin.buffer.read())
    answer = _answer(request)
    used = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, -1))
    text = json.dumps({**answer, "cpuMs": round(used * 1000)}, ensure_ascii=False)
    data = f"{ANSWER}{text}\n".encode("utf-8", "replace")
    while data:
        data = data[os.write(2, data) :]
    os._exit(0)


if __name__ == "__main__":
    main()
