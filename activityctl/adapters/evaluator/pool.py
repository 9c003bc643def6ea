"""EvaluatorPool: evaluates expressions that may be much work in processes that can be stopped."""

import hashlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from activityctl.adapters.evaluator.process import CrashedError, EvaluatorProcess, OverrunError
from activityctl.domain.cel.evaluator import UNLIMITED, Evaluator
from activityctl.errors import ExpressionBudgetError, ExpressionError

CPU_SECONDS: Final = 0.5
"""The CPU time that one evaluation may take."""
_LEAST_SECONDS: Final = 0.1
"""The CPU time of an expression that has taken too long several times in a row."""
_TRIES: Final = 3
"""How often an evaluation is tried whose process crashes."""
_MOST_REMEMBERED: Final = 1_000


class EvaluatorPool:
    """Some evaluator processes. Each is started at its first use, and again after its end.

    Threads may use it at the same time; those that find no free process wait.
    """

    def __init__(self, size: int = 1) -> None:
        self._free: queue.LifoQueue[EvaluatorProcess | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)
        self._overruns: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._is_closed = False

    def session(self, seconds: float = UNLIMITED) -> Evaluator:
        """Return an evaluator whose evaluations in processes may take so long together."""
        return _Session(self, seconds)

    def evaluate(self, source: str, data: Mapping[str, Any]) -> Any:
        """Return the value of an expression.

        Raises ExpressionError, or ExpressionBudgetError if it takes too long or too much memory.
        """
        answer = self._ask_for(source, {"kind": "cel", "source": source, "data": data})
        if "value" in answer:
            return answer["value"]
        if "budget" in answer:
            raise ExpressionBudgetError(answer["budget"])
        raise ExpressionError(answer["error"])

    def check_params(
        self, schema: Mapping[str, Any], params: Mapping[str, Any]
    ) -> Sequence[tuple[Sequence[str | int], str]]:
        """Return path and reason of each place where params do not match a JSON Schema.

        Raises ExpressionBudgetError as `evaluate` does.
        """
        request = {"kind": "params", "schema": schema, "params": params}
        key = f"schema {hashlib.sha256(repr(schema).encode()).hexdigest()}"
        found: list[tuple[list[str | int], str]] = self._ask_for(key, request)["value"]
        return found

    def _ask_for(self, key: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask; what has taken too long before, under the same key, gets less time."""
        seconds = max(CPU_SECONDS / 2 ** self._overruns.get(key, 0), _LEAST_SECONDS)
        try:
            answer = self.ask(request, seconds)
        except ExpressionBudgetError:
            self._remember_overrun(key)
            raise
        self._overruns.pop(key, None)
        return answer

    def ask(self, request: dict[str, Any], seconds: float = CPU_SECONDS) -> dict[str, Any]:
        """Return the answer of a process, which may take so many seconds of CPU time.

        Raises ExpressionBudgetError if it takes longer, or if the process crashes each time.
        """
        for tried in range(_TRIES):
            try:
                with self._process() as process:
                    return process.ask(request, seconds)
            except OverrunError:
                message = f"too much work: it was stopped after {seconds:g} s of CPU time"
                raise ExpressionBudgetError(message) from None
            except CrashedError as error:
                if tried == _TRIES - 1:
                    message = (
                        "the evaluation crashed or took too much memory; it was tried"
                        f" {_TRIES} times ({error})"
                    )
                    raise ExpressionBudgetError(message) from None
        raise AssertionError

    def close(self) -> None:
        """End the processes that are not at work; those at work end after their answer."""
        self._is_closed = True
        while True:
            try:
                process = self._free.get_nowait()
            except queue.Empty:
                return
            if process is not None:
                process.kill()

    @contextmanager
    def _process(self) -> Iterator[EvaluatorProcess]:
        """Yield a process; after an error the next one that needs it starts a new one."""
        process = self._free.get()
        try:
            process = process or EvaluatorProcess()
            yield process
        except BaseException:  # also a cancellation: its work is unknown, so it ends
            if process is not None:
                process.kill()
            self._free.put(None)
            raise
        if self._is_closed:
            process.kill()
            process = None
        self._free.put(process)

    def _remember_overrun(self, source: str) -> None:
        with self._lock:
            self._overruns[source] = min(self._overruns.pop(source, 0) + 1, 10)
            while len(self._overruns) > _MOST_REMEMBERED:
                self._overruns.popitem(last=False)


class _Session:
    """The evaluations of one decision."""

    most_data = UNLIMITED

    def __init__(self, pool: EvaluatorPool, seconds: float) -> None:
        self._pool = pool
        self._seconds = self._left = seconds

    def count(self, work: int) -> None:
        """Allow it: a thread may do what is little work for each expression."""

    def evaluate(self, source: str, data: Mapping[str, Any]) -> Any:
        """Evaluate in a process of the pool, if there is time left for this decision."""
        with self._limited():
            return self._pool.evaluate(source, data)

    def check_params(
        self, schema: Mapping[str, Any], params: Mapping[str, Any]
    ) -> Sequence[tuple[Sequence[str | int], str]]:
        """Check in a process of the pool, if there is time left for this decision."""
        with self._limited():
            return self._pool.check_params(schema, params)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        if self._left <= 0:
            raise ExpressionBudgetError(
                f"too much work: other expressions of this decision have taken {self._seconds:g} s"
            )
        started = time.monotonic()
        try:
            yield
        finally:
            self._left -= time.monotonic() - started
