"""Temporal's ports in memory: they record the calls, and fail when a test sets `failure`."""

from collections.abc import AsyncIterator

from activityctl.domain.gitops.drift import ObservedAlarm
from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.timing.firing import FiringRef, Ringing
from activityctl.domain.values.ids import AlarmId
from activityctl.errors import ActivityctlError, UnreachableError
from activityctl.ports import RunStarter, ScheduleClient


class MemoryRunStarter(RunStarter):
    """Implements the RunStarter port; nothing runs, workflows stay open until `end` is called."""

    def __init__(self) -> None:
        self.failure: UnreachableError | None = None
        """Raised by every call while it is set."""
        self.refused: dict[str, Exception] = {}
        """Errors of the start of single firings, by firing key; whoever shares a workflow with
        one of them fails with it."""
        self.uncancellable: dict[str, ActivityctlError] = {}
        """Errors of the cancellation of single runs, by run id."""
        self.started: list[FiringRef] = []
        """The firings of each workflow, in the order of their starts."""
        self.rung: list[Ringing] = []
        """The alarms whose workflow was started, with their times."""
        self.cancelled: list[str] = []
        """Run ids, one for each call that found the workflow open."""
        self.woken: list[str] = []
        """Run ids, one for each call of `wake` that found the workflow open."""
        self.terminated: list[str] = []
        """The ids of the workflows that were ended."""
        self._open: set[str] = set()

    async def start(self, *firings: FiringRef) -> None:
        """Start the one workflow of all these firings; do nothing if it is open already."""
        _raise_if_set(self.failure)
        for firing in firings:
            _raise_if_set(self.refused.get(firing.firing_key))
        (workflow_id,) = {firing.workflow_id for firing in firings}
        if workflow_id not in self._open:
            self.started += firings
            self._open.add(workflow_id)

    async def cancel(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to cancel that run; return False when no such workflow is open."""
        _raise_if_set(self.failure)
        _raise_if_set(self.uncancellable.get(run_id))
        if workflow_id not in self._open:
            return False
        self.cancelled.append(run_id)
        return True

    async def wake(self, run_id: str, workflow_id: str) -> bool:
        """Ask the workflow to look at that run's waiting tasks; False when it is not open."""
        _raise_if_set(self.failure)
        if workflow_id not in self._open:
            return False
        self.woken.append(run_id)
        return True

    async def terminate(self, workflow_id: str, reason: str) -> None:  # noqa: ARG002 - the port
        """End a workflow whose code cannot go on; do nothing if it is not open."""
        _raise_if_set(self.failure)
        self.end(workflow_id)
        self.terminated.append(workflow_id)

    async def ring(self, ringing: Ringing) -> None:
        """Start the workflow of an alarm that did not ring itself."""
        _raise_if_set(self.failure)
        _raise_if_set(self.refused.get(ringing.alarm_id))
        self.rung.append(ringing)

    async def is_reachable(self) -> bool:
        """Return whether no failure of every call is set."""
        return self.failure is None

    async def open_workflows(self) -> frozenset[str]:
        """Return the ids of all open workflows."""
        _raise_if_set(self.failure)
        return frozenset(self._open)

    def end(self, workflow_id: str) -> None:
        """Close the workflow as if its run had ended."""
        self._open.discard(workflow_id)


class MemoryScheduleClient(ScheduleClient):
    """Implements the ScheduleClient port."""

    def __init__(self) -> None:
        self.failure: UnreachableError | None = None
        """Raised by every call while it is set."""
        self.refused: dict[str, Exception] = {}
        """Errors of the calls for single alarms, by id."""
        self.held: dict[str, Alarm] = {}
        """The alarms that Temporal would have, by id."""
        self.paused: set[str] = set()
        """The ids of the alarms that somebody has paused."""
        self.asked: list[tuple[str, str]] = []
        """Every call that succeeded, in order: `place` or `remove`, and the id of the alarm."""

    async def create_or_update(self, alarm_id: str, alarm: Alarm) -> None:
        """Create or update the alarm; a repeated call changes nothing."""
        _raise_if_set(self.failure)
        _raise_if_set(self.refused.get(alarm_id))
        self.asked.append(("place", alarm_id))
        self.held[alarm_id] = alarm
        self.paused.discard(alarm_id)

    async def delete(self, alarm_id: str) -> None:
        """Delete the alarm; do nothing when there is none."""
        _raise_if_set(self.failure)
        _raise_if_set(self.refused.get(alarm_id))
        self.asked.append(("remove", alarm_id))
        self.held.pop(alarm_id, None)
        self.paused.discard(alarm_id)

    async def list_pages(self) -> AsyncIterator[list[ObservedAlarm]]:
        """Iterate over all alarms, in pages."""
        _raise_if_set(self.failure)
        yield [self._observed(alarm_id) for alarm_id in list(self.held)]

    async def describe(self, alarm_id: str) -> ObservedAlarm | None:
        """Return the current alarm; None when there is none."""
        _raise_if_set(self.failure)
        _raise_if_set(self.refused.get(alarm_id))
        return self._observed(alarm_id) if alarm_id in self.held else None

    def _observed(self, alarm_id: str) -> ObservedAlarm:
        return ObservedAlarm(AlarmId(alarm_id), self.held[alarm_id], alarm_id in self.paused)


def _raise_if_set(failure: Exception | None) -> None:
    if failure is not None:
        raise failure
