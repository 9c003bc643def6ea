"""Recover: carry on what Postgres believes to be under way and Temporal does not know.

Temporal forgets when its data are lost, restored from a backup, or cut off by a power failure.
Postgres decides: a run without a workflow gets one again. Tasks that have ended stay ended, and an
attempt that was under way counts as lost. A workflow that no worker can go on with is replaced in
the same way, also before it has opened its runs. To start a workflow that is open changes nothing,
so a listing of Temporal that is some seconds old does no harm.

A workflow that may wait in vain, because Temporal has lost an event that it waits for, is woken.
Then it goes on from what Temporal has, or is found to be stuck. To others that does no harm.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from activityctl.domain.runs.fresh_start import is_patience_over
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values.log import LogEntry
from activityctl.errors import RefusedError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Logbook, QuietWorkflow, RunStarter, StuckRuns, UnfinishedWork

OLDER_THAN: Final = timedelta(seconds=20)
"""What is younger may not be in Temporal's listing yet."""
_PAGE: Final = 1000
_FIRINGS: Final = 1000
"""The most started firings without a run that one call looks at."""
_QUIET_SINCE: Final = timedelta(minutes=10)
_WOKEN: Final = 200
_LATE_COMMIT: Final = timedelta(minutes=1)
"""A transaction may commit this long after the time that it writes, and not be seen before."""
_AT_ONCE: Final = 16
_RUN_IS_CARRIED_ON: Final = (
    "Temporal did not know the workflow of this run, so it was started again; tasks that have "
    "ended are not repeated"
)
_RUN_BEGINS_ANEW: Final = (
    "the workflow of this run could not go on, so a new one goes on with it; tasks that have "
    "ended are not repeated"
)
_GIVEN_UP: Final = "no worker could go on with it; a new workflow goes on with its runs"


@frozen_dataclass
class Recovered:
    """What Temporal did not know, and was carried on."""

    runs: Sequence[FiringRef] = ()
    """Open runs without a workflow."""
    firings: Sequence[FiringRef] = ()
    """Firings that were started and got no run."""
    refused: Sequence[tuple[FiringRef, str]] = ()
    """Those of them that Temporal refuses, with the reason."""
    checked_until: datetime | None = None
    """Every firing that was started before has a run; None if that was not looked at."""

    @property
    def is_empty(self) -> bool:
        """Whether Temporal knew everything."""
        return not self.runs and not self.firings


class Recovery:
    """Compares Postgres with Temporal, and starts again what Temporal does not know."""

    def __init__(
        self,
        unfinished: UnfinishedWork,
        stuck: StuckRuns,
        starter: RunStarter,
        logbook: Logbook,
        clock: Callable[[], datetime],
    ) -> None:
        self._unfinished = unfinished
        self._stuck = stuck
        self._starter = starter
        self._logbook = logbook
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._forsaken: dict[str, datetime] = {}
        """The forsaken workflows of the last look, each with the time since when it is waited for.

        That begins when this process sees it first, and anew when it is woken.
        """

    async def find(
        self,
        *,
        older_than: timedelta = OLDER_THAN,
        since: datetime | None = None,
        closed: Collection[str] = (),
    ) -> Recovered:
        """Return what Temporal does not know; change nothing.

        Firings that were started before `since` are not looked at. The workflows `closed` are not
        open, whatever the listing says.
        """
        until = self._clock() - older_than - _LATE_COMMIT
        started = await self._unfinished.firings_without_run(older_than, _FIRINGS, since=since)
        firings = [without_run.firing for without_run in started]
        if started:
            until = min(until, started[0].started_at)
        return Recovered(await self._lost_runs(older_than, closed), firings, (), until)

    async def carry_on(
        self, *, older_than: timedelta = OLDER_THAN, since: datetime | None = None
    ) -> Recovered:
        """Start again what Temporal does not know, and return it. A repeat does no harm.

        A workflow that cannot go on is closed first, so that it is started again too.
        UnreachableError when Temporal does not answer; what was started stays so.
        """
        waited_since, self._forsaken = self._forsaken, {}  # an outage begins the wait anew
        closed = await self._close_stuck()
        found = await self.find(older_than=older_than, since=since, closed=closed)
        by_workflow = sorted(found.runs, key=lambda firing: firing.workflow_id)
        groups = [
            list(group) for _, group in groupby(by_workflow, lambda firing: firing.workflow_id)
        ]
        groups += [[firing] for firing in found.firings]
        results = await asyncio.gather(*map(self._start, groups), return_exceptions=True)
        failed = [
            (firing, result)
            for group, result in zip(groups, results, strict=True)
            if isinstance(result, BaseException)
            for firing in group
        ]
        not_started = {firing.run_id for firing, _ in failed}
        started = [firing for firing in found.runs if firing.run_id not in not_started]
        await self._tell(started, closed)
        refused = [
            (firing, error.message) for firing, error in failed if isinstance(error, RefusedError)
        ]
        for _, error in failed:
            if not isinstance(error, RefusedError):
                raise error
        await self._wake_forsaken(waited_since)
        return Recovered(found.runs, found.firings, refused, found.checked_until)

    async def wake_quiet(self) -> None:
        """Wake the workflows of which nothing is at work, but was lately.

        If Temporal loses its last seconds, and then a worker that remembered more of a workflow is
        gone, nothing tells this workflow to go on.
        """
        await self._wake(await self._stuck.quiet(_QUIET_SINCE, _WOKEN))

    async def _wake_forsaken(self, waited_since: dict[str, datetime]) -> None:
        """Wake the workflows that were lost with their attempts, if they stay so.

        When workers or Temporal come back, they first get the time to go on by themselves.
        """
        now = self._clock()
        over = []
        for workflow in await self._stuck.forsaken():
            since = waited_since.get(workflow.id, now)
            if is_patience_over(since, workflow.began_at, now):
                over.append(workflow)
                since = now
            self._forsaken[workflow.id] = since
        await self._wake(over)

    async def _wake(self, workflows: Iterable[QuietWorkflow]) -> None:
        for workflow in workflows:
            with suppress(RefusedError):  # as if it had not been asked
                await self._starter.wake(workflow.run_id, workflow.id)

    async def _close_stuck(self) -> list[str]:
        """Close the workflows that are to begin anew, and return their ids."""
        now = self._clock()
        closed = []
        for workflow in await self._stuck.idle():
            if is_patience_over(workflow.since, workflow.began_at, now):
                await self._starter.terminate(workflow.id, _GIVEN_UP)
                await self._stuck.clear_stuck(workflow.id, is_replaced=True)
                closed.append(workflow.id)
        return closed

    async def _lost_runs(self, older_than: timedelta, closed: Collection[str]) -> list[FiringRef]:
        """Return the open runs whose workflow is not open; ask Temporal only if there are any."""
        page = await self._unfinished.open_runs(older_than, _PAGE)
        known = await self._starter.open_workflows() if page else frozenset()
        known -= frozenset(closed)
        lost: list[FiringRef] = []
        while page:
            lost += [firing for firing in page if firing.workflow_id not in known]
            page = await self._unfinished.open_runs(older_than, _PAGE, after=page[-1].run_id)
        return lost

    async def _start(self, firings: Sequence[FiringRef]) -> None:
        async with self._turns:
            await self._starter.start(*firings)

    async def _tell(self, runs: Sequence[FiringRef], closed: Collection[str]) -> None:
        now = self._clock()
        entries = []
        for run in runs:
            text = _RUN_BEGINS_ANEW if run.workflow_id in closed else _RUN_IS_CARRIED_ON
            entries.append(LogEntry(run.subscription_id, run.run_id, text, "warning", now, {}))
        await self._logbook.append(entries)
