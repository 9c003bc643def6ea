"""Guarded lookups: attempts to look up a value that a breaker or a limit may hold up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activityctl.domain.manifests.context import ContextTemplate
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import log_entry
from activityctl.domain.tasks.attempt import AttemptOutcome
from activityctl.domain.tasks.breaker import LEASE, is_fault
from activityctl.domain.tasks.failure import failure_of
from activityctl.domain.tasks.guard import guard_of
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.retry import chance_of
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.log import Level
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, TaskError
from activityctl.ports import BegunLookup, GuardedLookup, Guards, Hold, Logbook, LookupEnd
from activityctl.steps.attempts import write_safely
from activityctl.steps.guarding import held_by, transition

_LOG = logging.getLogger(__name__)
_WAITED_HERE: Final = 1.0
"""Seconds. A shorter wait keeps the call; during a longer one the lookup is not in the worker."""
HELD: Final = "held"
"""The type of the error after which Temporal asks for the lookup again."""


class GuardedLookups:
    """Asks breakers and limits before each attempt, and tells the breaker how it ended."""

    def __init__(
        self,
        guards: Guards,
        logbook: Logbook,
        worker: str,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._guards = guards
        self._logbook = logbook
        self._worker = worker
        self._clock = clock
        self._sleep = sleep

    def of(
        self, run: Run, template: ContextTemplate, body: JsonValue, limits: Iterable[Limit]
    ) -> GuardedLookup | None:
        """Return the lookup with what may hold it up; None if nothing does."""
        guard = guard_of(template.breaker, template.limit, limits, template.kind, body)
        return None if guard is None else GuardedLookup(run.id, template.name, guard)

    async def attempt(
        self,
        lookup: GuardedLookup,
        run: Run,
        number: int,
        seconds: float,
        resolve: Callable[[], Awaitable[JsonValue]],
        mask: Mask,
    ) -> JsonValue:
        """Return what `resolve` returns, within `seconds`, once the attempt may begin.

        Raises TaskError if it is not to wait. If it has to wait for more than a second, raises the
        error after which Temporal asks again at the right time.
        """
        begun = await self._begin(lookup, run, number, seconds)
        end = partial(LookupEnd, begun.number, begun.is_probe)
        try:
            value = await resolve()
        except ActivityctlError as error:
            fault, code = False, None
            if isinstance(error, TaskError):
                fault, code = is_fault(failure_of(error, number)), error.task_code
            text = mask.text(error.message)
            ended = end(AttemptOutcome.FAILED, is_fault=fault, error=text, code=code)
            await self._settle(lookup, run, ended)
            raise
        except asyncio.CancelledError:
            await self._settle(lookup, run, end(AttemptOutcome.STOPPED, is_fault=None))
            raise
        await self._settle(lookup, run, end(AttemptOutcome.SUCCEEDED, is_fault=False))
        return value

    async def _begin(
        self, lookup: GuardedLookup, run: Run, number: int, seconds: float
    ) -> BegunLookup:
        waited = 0.0
        while True:
            answer = await self._guards.begin_lookup(
                lookup,
                self._clock(),
                self._worker,
                lease=timedelta(seconds=seconds) + LEASE,
                chance=chance_of(lookup.id, number),
            )
            if isinstance(answer, BegunLookup):
                return answer
            if answer.fails:
                why = f": {answer.reason}" if answer.reason else ""
                raise TaskError(
                    f"breaker {answer.name} is open{why}", code="breaker_open", retryable=False
                )
            waited += answer.seconds
            await self._wait(answer, lookup, run, is_long=waited > _WAITED_HERE)

    async def _wait(self, hold: Hold, lookup: GuardedLookup, run: Run, *, is_long: bool) -> None:
        if hold.is_new:
            facts = {"waitsFor": hold.name, "until": format_timestamp(hold.until)}
            message = f"context {lookup.name} waits for {held_by(hold)}"
            await self._log(run, "info", message, facts)
        if not is_long:
            await self._sleep(hold.seconds)
            return
        raise ApplicationError(
            "the lookup waits for a breaker or a limit",
            type=HELD,
            next_retry_delay=timedelta(seconds=max(hold.seconds, 0.001)),
            category=ApplicationErrorCategory.BENIGN,
        )

    async def _settle(self, lookup: GuardedLookup, run: Run, end: LookupEnd) -> None:
        """Record the end; if Postgres does not answer, the breaker is not told."""
        try:
            change = await self._guards.settle_lookup(lookup, end, self._clock())
        except ActivityctlError as failure:
            _LOG.warning("a breaker was not told: %s", failure, extra={"run": run.id})
            return
        if change is not None:
            level, message, facts = transition(change)
            _LOG.warning(message, extra={"run": run.id})
            await self._log(run, level, message, facts)

    async def _log(self, run: Run, level: Level, message: str, facts: dict[str, JsonValue]) -> None:
        entry = log_entry(run, level, message, self._clock(), **facts)
        await write_safely(self._logbook.append([entry]))
