"""The background loops of a worker: which there are, and what each works on."""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from activityctl.daemon.log import log_trouble
from activityctl.daemon.worker.announcer import Announcer
from activityctl.daemon.worker.chains.watcher import ChainWatcher
from activityctl.daemon.worker.child_runs import ChildRuns
from activityctl.daemon.worker.dispatcher import Dispatcher
from activityctl.daemon.worker.drift_detector import DriftDetector
from activityctl.daemon.worker.late_runs import LateRunWatch
from activityctl.daemon.worker.loop_guard import LoopGuard
from activityctl.daemon.worker.loops import Loop, Wait, repeat, wait_for
from activityctl.daemon.worker.notice_teller import NoticeTeller
from activityctl.daemon.worker.overdue_scanner import OverdueScanner
from activityctl.daemon.worker.queue_releaser import QueueReleaser
from activityctl.daemon.worker.reconciler import Reconciler
from activityctl.daemon.worker.recovery_loop import RecoveryLoop
from activityctl.daemon.worker.retention import HistoryRetention, Retention
from activityctl.daemon.worker.router import Router
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.daemon.worker.server_clock import ServerClock
from activityctl.daemon.worker.stuck_runs import StuckRunWatch
from activityctl.daemon.worker.wait_keeper import WaitKeeper
from activityctl.daemon.worker.watchdog import Watchdog
from activityctl.domain.cel.evaluator import Evaluator
from activityctl.domain.runs.stuck import EVENTS_LOST
from activityctl.domain.runs.worker import BEAT_EVERY, WorkerBeat
from activityctl.domain.values.retention import parse_policy
from activityctl.operations.runs.recover import Recovery
from activityctl.ports import WORK_CHANNEL, Chains, RunStarter, ScheduleClient, Work
from activityctl.settings import Settings
from activityctl.steps.admit import AdmitStep
from activityctl.steps.give_up import GiveUp
from activityctl.steps.places import Places
from activityctl.steps.record import RecordStep
from activityctl.version import VERSION
from activityctl.wiring import Ports

_SAFETY_POLL: Final = 5.0
"""A loop that is woken by notifications works at least this often, in case one was missed."""
_CHECK_SCHEDULES_EVERY: Final = 60.0
_WAKE_EVERY: Final = 1.0
_RETENTION_EVERY: Final = 3600.0
_RECOVER_EVERY: Final = 15.0
_STUCK_EVERY: Final = 2.0
_LOST_EVENTS_EVERY: Final = 5.0
_LATE_EVERY: Final = 5.0
_NOTICES_EVERY: Final = 2.0
_SCHEMA_EVERY: Final = 30.0
_LOOK_AT_ATTRIBUTES_EVERY: Final = 60.0
_LISTEN_AGAIN_AFTER: Final = 0.5
_BEAT_EVERY: Final = BEAT_EVERY.total_seconds()


class BackgroundLoops:
    """The loops beside the workflows; none ends because its work fails."""

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        temporal: tuple[RunStarter, ScheduleClient],
        steps: tuple[AdmitStep, RecordStep, Places],
        *,
        evaluator: Callable[[], Evaluator | None],
        check_schema: Callable[[], Awaitable[None]],
        clock: ServerClock,
        wait: Wait = wait_for,
    ) -> None:
        """`wait` waits between two calls of a loop, and after its failures.

        `check_schema` raises an error if the database has no longer the schema of this version.
        """
        self.end_for_restore: Callable[[], None] = lambda: None
        """Called when the database is restored from a backup."""
        self._ports = ports
        self._wait = wait
        self._clock = clock
        self.guard = LoopGuard(clock, lambda seconds: wait(None, seconds))
        self._wake = {work: asyncio.Event() for work in Work}
        starter, schedule_client = temporal
        admit, recorder, places = steps
        give_up = GiveUp(ports.runs, recorder, clock)
        maintenance = ScheduleMaintenance(ports.register, schedule_client, ports.logbook, clock)
        self.stuck_runs = StuckRunWatch(ports.stuck_runs, ports.logbook, clock)
        dispatcher = Dispatcher(
            ports.outbox,
            ports.runs,
            starter,
            recorder,
            clock,
            _each(admit.wait_for_capacity, places.wait_for_fewer),
            is_stuck=self.stuck_runs.is_stuck,
        )
        dispatcher.read_ahead, dispatcher.starting = admit.read_ahead.keep, admit.early.starting
        router = Router(ports.events, self._wake[Work.FIRING].set, evaluator)
        children = ChildRuns(ports.waits, ports.catalog, ports.outbox, ports.runs, clock)
        waits = WaitKeeper(ports.waits, starter, children, is_stuck=self.stuck_runs.is_stuck)
        releaser = QueueReleaser(ports.gates, ports.backfills, starter, give_up)
        releaser.starting = admit.early.starting
        scanner = OverdueScanner(ports.timetable, starter)
        teller = NoticeTeller(ports.notices, ports.events, ports.outbox, clock)
        retention = Retention(
            ports.archive, ports.outbox, settings.event_retention, sources=ports.sources
        )
        self.beat = WorkerBeat(
            uuid.uuid4().hex, socket.gethostname(), os.getpid(), VERSION, clock()
        )
        recovery = Recovery(ports.unfinished, ports.stuck_runs, starter, ports.logbook, clock)
        carry_on = RecoveryLoop(recovery, ports.register).carry_on
        checks = _CHECK_SCHEDULES_EVERY
        self.loops: tuple[Loop, ...] = (
            Loop("listen", self._listen, _LISTEN_AGAIN_AFTER),
            Loop("beat", self._beat, _BEAT_EVERY, longest_pause=_BEAT_EVERY),
            self._woken(Work.EVENT, router.route),
            self._woken(Work.FIRING, dispatcher.dispatch),
            self._woken(Work.CANCEL, dispatcher.cancel),
            self._woken(Work.SCHEDULES, _without_answer(Reconciler(maintenance).reconcile)),
            self._woken(Work.QUEUE, releaser.release),
            self._woken(Work.WAIT, waits.keep),
            self._woken(Work.REMIND, Announcer(ports.waits, ports.events).announce),
            Loop("drift", _without_answer(DriftDetector(maintenance).detect_and_repair), checks),
            Loop("watchdog", _without_answer(Watchdog(maintenance).restart_silent), checks),
            Loop("recovery", _without_answer(carry_on), _RECOVER_EVERY),
            Loop("wake-up", _without_answer(scanner.wake), _WAKE_EVERY),
            Loop("retention", _without_answer(retention.sweep), _RETENTION_EVERY),
            Loop("late-runs", LateRunWatch(ports.lateness, ports.events).look, _LATE_EVERY),
            Loop("notices", teller.tell, _NOTICES_EVERY),
            *self._history_retention(settings.retention),
            Loop("stuck-runs", self.stuck_runs.record, _STUCK_EVERY),
            Loop("schema", check_schema, _SCHEMA_EVERY),
        )

    def _history_retention(self, text: str) -> tuple[Loop, ...]:
        """Return the loop that removes old runs, logs and letters, if a policy says so."""
        if not (policy := parse_policy(text)):
            return ()
        keeper = HistoryRetention(self._ports.retention, policy)
        return (Loop("history-retention", keeper.sweep, _RETENTION_EVERY),)

    def watch_chains(self, chains: Chains) -> None:
        """Add the loop that reads the logs of chains."""
        watcher = ChainWatcher(self._ports.chains, chains)
        self.loops = (*self.loops, Loop("chains", watcher.watch, _SAFETY_POLL))

    def look_at_search_attributes(self, look: Callable[[], Awaitable[None]]) -> None:
        """Add the loop that asks Temporal for the search attributes that it has."""
        every = _LOOK_AT_ATTRIBUTES_EVERY
        self.loops = (*self.loops, Loop("search-attributes", look, every))

    def look_for_lost_events(self, look: Callable[[], Awaitable[list[str]]]) -> None:
        """Add the loop that looks for workflows of which Temporal has lost the last events."""

        async def work() -> None:
            for workflow_id in await look():
                self.stuck_runs.failed(workflow_id, EVENTS_LOST)

        self.loops = (*self.loops, Loop("lost-events", work, _LOST_EVENTS_EVERY))

    async def run(self, loop: Loop) -> None:
        """Run one of the loops until it is cancelled."""
        await repeat(loop, self.guard, self._wait)

    def _woken(self, work: Work, call: Callable[[], Awaitable[float | None]]) -> Loop:
        return Loop(work.value, call, _SAFETY_POLL, self._wake[work])

    async def _listen(self) -> None:
        """Wake the loops that notifications name, until the connection breaks."""
        async with self._ports.signals.listening(WORK_CHANNEL) as payloads:
            self.guard.succeeded("listen")
            for event in self._wake.values():
                event.set()  # for work that came before we listened
            async for payload in payloads:
                if payload in set(Work):
                    self._wake[Work(payload)].set()

    async def _beat(self) -> None:
        await self._clock.synchronise()
        others = (log_trouble(), self._clock.trouble)
        troubles = (*self.guard.troubles, *(trouble for trouble in others if trouble is not None))
        if not await self._ports.workers.beat(replace(self.beat, troubles=troubles)):
            self.end_for_restore()


def _without_answer(call: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        await call()

    return work


def _each(*waits: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        for each in waits:
            await each()

    return wait
