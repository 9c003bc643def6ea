"""Records which runs are stuck, because the code of their workflow cannot go on."""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from queue import SimpleQueue
from typing import Final

from activityctl.domain.runs.stuck import cause_of, outlook_of
from activityctl.domain.values.log import LogEntry
from activityctl.ports import Logbook, StuckRuns

_LOG = logging.getLogger(__name__)
GOOD_AFTER: Final = 10.0
"""A workflow that went on and did not fail for this many seconds is no longer stuck."""
_LONGEST_TEXT: Final = 500


class StuckRunWatch:
    """Hears of workflow tasks, in any thread, and writes changes into Postgres in its loop."""

    def __init__(
        self,
        runs: StuckRuns,
        logbook: Logbook,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runs = runs
        self._logbook = logbook
        self._clock = clock
        self._monotonic = monotonic
        self._failures: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._unwritten: dict[str, str] = {}
        self._known: frozenset[str] = frozenset()
        self._worked_at: dict[str, float] = {}

    def failed(self, workflow_id: str, error: str) -> None:
        """Hear that the code of the workflow failed, or does not fit to its history."""
        self._worked_at.pop(workflow_id, None)
        self._failures.put((workflow_id, error))

    def worked(self, workflow_id: str) -> None:
        """Hear that the code of the workflow went on; a failure may follow at once."""
        if workflow_id in self._known:
            self._worked_at.setdefault(workflow_id, self._monotonic())

    def is_stuck(self, workflow_id: str) -> bool:
        """Return whether the runs of the workflow were stuck at the last look, in any worker."""
        return workflow_id in self._known

    async def record(self) -> None:
        """Write what changed: runs that are stuck now, and runs that go on.

        What could not be written is written by the next call.
        """
        while not self._failures.empty():
            workflow_id, error = self._failures.get_nowait()
            self._unwritten[workflow_id] = error[:_LONGEST_TEXT]
        failure: Exception | None = None
        for workflow_id, text in list(self._unwritten.items()):
            try:
                await self._mark(workflow_id, text)
            except Exception as error:  # noqa: BLE001  # raised below; the others go on
                failure = failure or error
            else:
                del self._unwritten[workflow_id]
        self._known = frozenset(await self._runs.stuck_workflows())
        before = self._monotonic() - GOOD_AFTER
        for workflow_id, worked_at in list(self._worked_at.items()):
            if worked_at <= before:
                await self._clear(workflow_id)
                self._worked_at.pop(workflow_id, None)
        if failure is not None:
            raise failure

    async def _mark(self, workflow_id: str, error: str) -> None:
        now = self._clock()
        marked = await self._runs.mark_stuck(workflow_id, error, now)
        if not marked and workflow_id not in self._known:
            _LOG.error("a workflow without an open run is stuck: %s: %s", workflow_id, error)
        for run_id, owner in marked:
            message = f"the run is stuck: {cause_of(error)}. {outlook_of(error)} {error}"
            _LOG.error(message, extra={"run": run_id})
            await self._logbook.append([LogEntry(owner, run_id, message, "error", now, {})])

    async def _clear(self, workflow_id: str) -> None:
        for run_id, owner in await self._runs.clear_stuck(workflow_id):
            message = "the run is no longer stuck"
            _LOG.info(message, extra={"run": run_id})
            now = self._clock()
            await self._logbook.append([LogEntry(owner, run_id, message, "info", now, {})])
