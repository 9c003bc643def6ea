"""Temporal in memory: keeps what it was asked for, and fails when a test tells it to."""

from collections.abc import AsyncIterator

from activityctl.domain.gitops.drift import ObservedSchedule
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.errors import UnreachableError
from activityctl.ports import RunStarter, ScheduleClient


class MemoryRunStarter(RunStarter):
    """The RunStarter port; nothing runs, workflows stay open until `end` is called."""

    def __init__(self) -> None:
        self.failure: UnreachableError | None = None
        """Raised by every call while it is set."""
        self.started: list[FiringRef] = []
        """The firings of each workflow, in the order of their starts."""
        self.cancelled: list[str] = []
        """Run ids, once for each call that found the workflow open."""
        self._open: set[str] = set()

    async def start(self, *firings: FiringRef) -> None:
        """Start the one workflow that all of them name; one that exists already is success."""
        _fail(self.failure)
        (workflow_id,) = {firing.workflow_id for firing in firings}
        may_repeat = firings[0].cause is FiringCause.WAKE_UP and workflow_id not in self._open
        if may_repeat or all(one.workflow_id != workflow_id for one in self.started):
            self.started += firings
            self._open.add(workflow_id)

    async def cancel(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to cancel that run; False when no such workflow is open."""
        _fail(self.failure)
        if workflow_id not in self._open:
            return False
        self.cancelled.append(run_id)
        return True

    def end(self, workflow_id: str) -> None:
        """Close the workflow, as if its run had ended."""
        self._open.discard(workflow_id)


class MemoryScheduleClient(ScheduleClient):
    """The ScheduleClient port."""

    def __init__(self) -> None:
        self.failure: UnreachableError | None = None
        """Raised by every call while it is set."""
        self.held: dict[str, WantedSchedule] = {}
        """The schedules that Temporal would hold now, by id."""
        self.paused: set[str] = set()
        """Ids of those that are paused."""
        self.asked: list[tuple[str, str]] = []
        """Every call that was answered: `place` or `remove`, and the schedule's id."""

    async def create_or_update(self, wanted: WantedSchedule, *, paused: bool) -> None:
        """Create or update the schedule; repeating it changes nothing."""
        _fail(self.failure)
        self.asked.append(("place", wanted.id))
        self.held[wanted.id] = wanted
        (self.paused.add if paused else self.paused.discard)(wanted.id)

    async def delete(self, schedule_id: str) -> None:
        """Delete the schedule; absent is fine."""
        _fail(self.failure)
        self.asked.append(("remove", schedule_id))
        self.held.pop(schedule_id, None)
        self.paused.discard(schedule_id)

    async def list_pages(self) -> AsyncIterator[list[ObservedSchedule]]:
        """Iterate over pages of all schedules."""
        _fail(self.failure)
        yield [self._observed(wanted) for wanted in list(self.held.values())]

    async def describe(self, schedule_id: str) -> ObservedSchedule | None:
        """Return the schedule as it is now; None when there is none."""
        _fail(self.failure)
        wanted = self.held.get(schedule_id)
        return None if wanted is None else self._observed(wanted)

    def _observed(self, wanted: WantedSchedule) -> ObservedSchedule:
        return ObservedSchedule(wanted.id, wanted.alarm, wanted.id in self.paused)


def _fail(failure: UnreachableError | None) -> None:
    if failure is not None:
        raise failure
