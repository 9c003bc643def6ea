"""Tracing: the spans of attempts and of the calls that they make, and the headers of the calls.

Calls have the header whether spans are exported or not. An error of tracing fails no attempt.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Final, TypeVar

from activityctl.domain.runs.run import Run, TaskInstance, address_of
from activityctl.domain.runs.tracing import (
    Span,
    SpanContext,
    attempt_context,
    call_context,
    run_context,
    spans_of_run,
)
from activityctl.domain.values.current_trace import CURRENT_TRACE
from activityctl.errors import TaskError
from activityctl.ports import KnownRun, NoSpans, Outgoing, RunStore, SpanSink

_Result = TypeVar("_Result")
_LOG = logging.getLogger(__name__)
_MOST: Final = 1_000
"""How many runs are remembered; another one is read again."""


class Tracing:
    """Makes the spans of the attempts of one worker."""

    def __init__(
        self, runs: RunStore, clock: Callable[[], datetime], sink: SpanSink | None = None
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._sink = sink or NoSpans()
        self._traces: dict[str, SpanContext] = {}
        self._told: dict[str, None] = {}

    async def attempt(
        self,
        task: TaskInstance,
        known: KnownRun | None,
        work: Callable[[], Awaitable[_Result]],
    ) -> _Result:
        """Do the work of an attempt; give its span to the sink."""
        if known is not None:
            self._keep(known.state.run)
        if not self._sink.is_open:
            return await work()
        run = await self._context(task.run_id)
        if run is None:
            return await work()
        began, error = self._clock(), None
        token = CURRENT_TRACE.set(run.trace_id)
        try:
            return await work()
        except TaskError as failure:
            error = failure.task_code
            raise
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            CURRENT_TRACE.reset(token)
            facts: dict[str, str | int] = {
                "activityctl.run": task.run_id,
                "activityctl.task": address_of(task),
                "activityctl.task_id": task.id,
                "activityctl.task_kind": task.kind,
                "activityctl.attempt": task.attempts,
            }
            own = attempt_context(run, task.id, task.attempts)
            name = f"task {address_of(task)}"
            self._sink.add(Span(name, own, run, began, self._clock(), facts, error))

    def of_task(self, task: TaskInstance) -> Outgoing:
        """Return what gives the calls of an attempt their headers."""
        return self._outgoing(task.id, task.attempts, lambda: self._context(task.run_id))

    def of_lookup(self, run: Run, name: str, attempt: int) -> Outgoing:
        """Return what gives the calls of a lookup of the context their headers."""

        async def context() -> SpanContext:
            return run_context(run)

        return self._outgoing(f"{run.id}/context/{name}", attempt, context, is_lookup=True)

    def _outgoing(
        self,
        owner: str,
        attempt: int,
        context: Callable[[], Awaitable[SpanContext | None]],
        *,
        is_lookup: bool = False,
    ) -> Outgoing:
        """A lookup has no span of its own: its calls are below the run."""
        numbers = count(1)

        @asynccontextmanager
        async def outgoing(name: str) -> AsyncIterator[str | None]:
            run = await context()
            if run is None:
                yield None
                return
            parent = attempt_context(run, owner, attempt)
            own, began, error = call_context(parent, next(numbers)), self._clock(), None
            try:
                yield own.header
            except TaskError as failure:
                error = failure.task_code
                raise
            except BaseException as failure:
                error = type(failure).__name__
                raise
            finally:
                ended = self._clock()
                above = run if is_lookup else parent
                self._sink.add(Span(name, own, above, began, ended, {}, error, kind="client"))

        return outgoing

    async def run_ended(self, run_id: str) -> None:
        """Give the spans of a run that has ended to the sink, once."""
        if not self._sink.is_open or run_id in self._told:
            return
        try:
            state = await self._runs.load(run_id)
        except Exception as error:  # noqa: BLE001  # a span is not worth an error
            _LOG.warning("the span of a run is lost: %s", error, extra={"run": run_id})
            return
        if state is not None and state.run.has_ended:
            self._told[run_id] = None
            if len(self._told) > _MOST:
                del self._told[next(iter(self._told))]
            for span in spans_of_run(state.run):
                self._sink.add(span)

    async def _context(self, run_id: str) -> SpanContext | None:
        found = self._traces.get(run_id)
        if found is None:
            try:
                state = await self._runs.load(run_id)
            except Exception as error:  # noqa: BLE001  # the call goes on without the header
                _LOG.warning("the trace of a run is not known: %s", error, extra={"run": run_id})
                return None
            found = None if state is None else self._keep(state.run)
        return found

    def _keep(self, run: Run) -> SpanContext:
        found = self._traces[run.id] = run_context(run)
        if len(self._traces) > _MOST:
            del self._traces[next(iter(self._traces))]
        return found
