"""Guarded lookups: attempts to look up a value that a breaker or a limit may hold up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial

from activityctl.domain.manifests.context import ContextTemplate
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import log_entry
from activityctl.domain.tasks.attempt import AttemptOutcome
from activityctl.domain.tasks.breaker import LEASE, is_fault
from activityctl.domain.tasks.failure import failure_of
from activityctl.domain.tasks.guard import guard_of
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.retry import chance_of
from activityctl.domain.values.log import Level
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, TaskError
from activityctl.ports import BegunLookup, GuardedLookup, LookupEnd
from activityctl.steps.asking import Asker, Asking


class GuardedLookups(Asking):
    """Asks breakers and limits before each attempt, and tells the breaker how it ended."""

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
        return await self._wait_until_begun(
            self._asker(run),
            lambda: self._guards.begin_lookup(
                lookup,
                self._clock(),
                self._worker,
                lease=timedelta(seconds=seconds) + LEASE,
                chance=chance_of(lookup.id, number),
            ),
            lambda _: f"context {lookup.name}",
        )

    async def _settle(self, lookup: GuardedLookup, run: Run, end: LookupEnd) -> None:
        await self._tell(self._asker(run), self._guards.settle_lookup(lookup, end, self._clock()))

    def _asker(self, run: Run) -> Asker:
        async def log(level: Level, message: str, facts: dict[str, JsonValue]) -> None:
            entry = log_entry(run, level, message, self._clock(), **facts)
            await self._log.write(entry)

        return Asker("lookup", {"run": run.id}, log)
