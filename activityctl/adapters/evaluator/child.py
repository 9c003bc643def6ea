"""The evaluator process: evaluates one expression after another, until its parent has gone.

It reads pickled requests of its parent from a socket, and answers in JSON. The system kills it
when one evaluation takes more CPU time or memory than it may.
"""

import json
import os
import pickle
import signal
import socket
import sys
from typing import Any, Final

from activityctl.adapters.evaluator.wire import LENGTH
from activityctl.domain.cel.program import Fault, compiled
from activityctl.errors import ExpressionBudgetError, ExpressionError

_MEMORY_BYTES: Final = 1 << 30
_PR_SET_DUMPABLE: Final = 4


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    match request["kind"]:
        case "cel":
            return _evaluated(request["source"], request["data"])
        case "params":
            return {"value": _checked(request["schema"], request["params"])}
        case kind:
            raise ValueError(kind)


def _evaluated(source: str, data: dict[str, Any]) -> dict[str, Any]:
    program = compiled(source)
    if isinstance(program, Fault):
        return {"error": program.reason}
    try:
        return {"value": program.evaluate_here(data)}
    except ExpressionBudgetError as error:
        return {"budget": error.message}
    except ExpressionError as error:
        return {"error": error.message}


def _checked(schema: dict[str, Any], params: dict[str, Any]) -> list[Any]:
    from activityctl.domain.manifests.params import check_params_here

    findings = check_params_here(schema, params)
    return [[list(finding.path), finding.reason] for finding in findings]


def _limit_memory() -> None:
    import resource

    if sys.platform == "linux":  # other systems refuse this limit or count unused memory
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _protect_memory() -> None:
    """Become not dumpable, as the parent is: commands of the same account could read events."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def main(file_number: int) -> None:
    """Answer requests from this socket."""
    _protect_memory()
    _limit_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us then
    connection = socket.socket(fileno=file_number)
    reader = connection.makefile("rb")
    while True:
        try:
            request = pickle.load(reader)  # noqa: S301 - only our parent has the other end
        except EOFError:
            os._exit(0)
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        try:
            answer = json.dumps(_answer(request)).encode()
        except MemoryError:
            os._exit(1)
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.sendall(LENGTH.pack(len(answer)))
        connection.sendall(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
