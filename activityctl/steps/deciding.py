"""Deciding: makes decisions of the domain without blocking the event loop of the worker."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, ParamSpec, TypeVar

from activityctl.domain.cel.evaluator import (
    EvaluatesElsewhere,
    Evaluator,
    InPlaceOnly,
    evaluating_with,
)

_THREADS: Final = 2

_Arguments = ParamSpec("_Arguments")
_Decision = TypeVar("_Decision")


class Deciding:
    """Calls pure functions that evaluate expressions.

    A decision that is little work is made at once. If it turns out to be more, it is made again in
    a thread, where an evaluator does what may be much work.
    """

    def __init__(self, evaluator: Callable[[], Evaluator | None] = lambda: None) -> None:
        """Remember `evaluator`, which returns the evaluator for one decision."""
        self._evaluator = evaluator
        # Threads of its own: what waits for an evaluator must not keep others from theirs.
        self._threads = ThreadPoolExecutor(_THREADS, "decisions")

    async def __call__(
        self,
        decide: Callable[_Arguments, _Decision],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Decision:
        """Return what the function returns, or raise what it raises."""
        try:
            with evaluating_with(InPlaceOnly()):
                return decide(*args, **kwargs)
        except EvaluatesElsewhere:
            loop = asyncio.get_running_loop()
            with evaluating_with(self._evaluator()):
                run = functools.partial(copy_context().run, decide, *args, **kwargs)
            return await loop.run_in_executor(self._threads, run)

    def close(self) -> None:
        """End the threads, without waiting for a decision that is still made."""
        self._threads.shutdown(wait=False, cancel_futures=True)
