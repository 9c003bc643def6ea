"""The worker: runs workflows and steps, and the background loops beside them."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from temporalio.client import Client
from temporalio.worker import Worker

from activityctl import wiring
from activityctl.adapters.postgres.schema.version import require_schema
from activityctl.adapters.temporal.watching_runner import WatchingRunner
from activityctl.daemon.protection import COMMANDS_AS_ROOT, runs_as_root
from activityctl.daemon.worker.dispatcher import Dispatcher
from activityctl.daemon.worker.drift_detector import DriftDetector
from activityctl.daemon.worker.evaluators import Evaluators
from activityctl.daemon.worker.loop_guard import LoopGuard
from activityctl.daemon.worker.overdue_scanner import OverdueScanner
from activityctl.daemon.worker.queue_releaser import QueueReleaser
from activityctl.daemon.worker.reconciler import Reconciler
from activityctl.daemon.worker.retention import Retention
from activityctl.daemon.worker.router import Router
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.daemon.worker.stopping import Stopping, stop_on_signals
from activityctl.daemon.worker.stuck_runs import StuckRunWatch
from activityctl.daemon.worker.watchdog import Watchdog
from activityctl.domain.cel.evaluator import Evaluator
from activityctl.domain.runs.worker import BEAT_EVERY, WorkerBeat
from activityctl.errors import ActivityctlError, UnreachableError
from activityctl.ports import WORK_CHANNEL, Work
from activityctl.settings import Settings
from activityctl.steps.admit import AdmitStep
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.give_up import GiveUp
from activityctl.steps.record import RecordStep
from activityctl.version import VERSION
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import RunActivityWorkflow
from activityctl.workflows.run_batch import RunBatchWorkflow

_Port = TypeVar("_Port")

_LOG = logging.getLogger(__name__)
_POOL: Final = 16
_SAFETY_POLL: Final = 5.0
"""Each loop works at least this often, in seconds, in case a notification was missed."""
_CHECK_SCHEDULES_EVERY: Final = 60.0
_WAKE_EVERY: Final = 1.0
_RETENTION_EVERY: Final = 3600.0
_STUCK_EVERY: Final = 2.0
_STICKY: Final = timedelta(seconds=2)
_CANCEL_AGAIN: Final = 0.2
_CACHED_WORKFLOWS: Final = 250
"""A cached workflow uses about 80 kB; in a burst, the others are replayed when needed."""
_DRAIN: Final = timedelta(seconds=15)
_PATIENCE: Final = 30.0
"""Seconds that a starting worker waits for Postgres and Temporal."""


async def run_worker(
    settings: Settings,
    *,
    sync: Callable[[], Coroutine[Any, Any, None]] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Work until SIGTERM or SIGINT; wait for running steps to end before it returns.

    `sync` runs beside the worker and is cancelled first. `on_ready` is called once the worker
    takes work. Raises UnreachableError when Postgres or Temporal does not answer in time, and
    RefusedError when the schema of the database is not the one of this version.
    """
    with stop_on_signals() as stopping:
        await _work(settings, stopping, sync, on_ready)


async def _work(
    settings: Settings,
    stopping: Stopping,
    sync: Callable[[], Coroutine[Any, Any, None]] | None,
    on_ready: Callable[[], None] | None,
) -> None:
    async with AsyncExitStack() as stack:
        ports = await _retry_while_unreachable(
            lambda: stack.enter_async_context(wiring.open_ports(settings, pool_size=_POOL))
        )
        await require_schema(await wiring.database_url(settings))
        client = await _retry_while_unreachable(lambda: wiring.connect_temporal(settings))
        for name, problem in (await wiring.unprotected_connections(settings)).items():
            _LOG.warning("the connection to %s is not safe: %s", name, problem)
        if settings.allow_commands and runs_as_root():
            _LOG.warning(COMMANDS_AS_ROOT)
        executors = await stack.enter_async_context(wiring.open_executors(settings, ports))
        evaluators = stack.enter_context(Evaluators())
        decide = evaluators.deciding
        recorder = RecordStep(ports.runs, _now, decide)
        sources = wiring.build_sources(ports)
        admit = AdmitStep(ports.runs, ports.timetable, ports.gates, sources, _now, decide)
        execute = ExecuteStep(ports.runs, ports.logbook, executors, recorder, _now)
        stack.push_async_callback(execute.close)
        loops = _BackgroundLoops(settings, ports, client, (admit, recorder), evaluators.for_event)
        activities: list[Callable[..., Any]] = [admit.admit, execute.execute, recorder.record]
        worker = _temporal_worker(settings, client, activities, loops.stuck_runs)
        async with worker, asyncio.TaskGroup() as group:
            tasks = [group.create_task(background) for background in loops.all()]
            if sync is not None:
                tasks.append(group.create_task(sync()))
            stopping.ready()
            _LOG.info("worker ready")
            if on_ready is not None:
                on_ready()
            await stopping.wait()
            _LOG.info("worker stopping, waiting for running steps")
            await end_tasks(tasks)
        await _leave(ports, loops.beat.id)
    _LOG.info("worker stopped")


async def _leave(ports: wiring.Ports, worker_id: str) -> None:
    try:
        await ports.workers.leave(worker_id)
    except ActivityctlError as error:  # it counts as gone in some seconds
        _LOG.warning("could not record that this worker has stopped: %s", error)


def _temporal_worker(
    settings: Settings,
    client: Client,
    steps: Sequence[Callable[..., Any]],
    watch: StuckRunWatch,
) -> Worker:
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[RunActivityWorkflow, RunBatchWorkflow],
        activities=steps,
        # The sandbox costs 4-9 ms for each run; a test checks that workflows obey its rules.
        workflow_runner=WatchingRunner(watch),
        max_concurrent_activities=settings.max_tasks,
        max_cached_workflows=_CACHED_WORKFLOWS,
        sticky_queue_schedule_to_start_timeout=_STICKY,
        graceful_shutdown_timeout=_DRAIN,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
    )


class _BackgroundLoops:
    """The background loops of a worker; each logs a failure and continues."""

    def __init__(
        self,
        settings: Settings,
        ports: wiring.Ports,
        client: Client,
        steps: tuple[AdmitStep, RecordStep],
        evaluator: Callable[[], Evaluator],
    ) -> None:
        self._ports = ports
        self._guard = LoopGuard(_now)
        starter = wiring.build_starter(client)
        admit, recorder = steps
        self._dispatcher = Dispatcher(
            ports.outbox, ports.runs, starter, recorder, _now, admit.wait_for_capacity
        )
        give_up = GiveUp(ports.runs, recorder, _now)
        self._queue_releaser = QueueReleaser(ports.gates, ports.backfills, starter, give_up)
        self._overdue_scanner = OverdueScanner(ports.timetable, starter)
        maintenance = ScheduleMaintenance(
            ports.register, wiring.build_schedule_client(client), ports.logbook, _now
        )
        self._reconciler = Reconciler(maintenance)
        self._drift_detector = DriftDetector(maintenance)
        self._watchdog = Watchdog(maintenance)
        self.stuck_runs = StuckRunWatch(ports.stuck_runs, ports.logbook, _now)
        self._wake = {work: asyncio.Event() for work in Work}
        self._router = Router(ports.events, self._wake[Work.FIRING].set, evaluator)
        self._retention = Retention(ports.archive, ports.outbox, settings.event_retention)
        self.beat = WorkerBeat(uuid.uuid4().hex, socket.gethostname(), os.getpid(), VERSION, _now())

    def all(self) -> list[Coroutine[Any, Any, None]]:
        """Return every loop as a coroutine, to be run as a task."""
        return [
            self._listen(),
            self._beat(),
            self._repeat(Work.EVENT, self._router.route),
            self._repeat(Work.FIRING, self._dispatcher.dispatch),
            self._repeat(Work.CANCEL, self._dispatcher.cancel),
            self._repeat(Work.SCHEDULES, self._reconcile),
            self._repeat(Work.QUEUE, self._queue_releaser.release),
            self._check_schedules(),
            self._wake_overdue(),
            self._remove_old(),
            self._record_stuck_runs(),
        ]

    async def _repeat(self, work: Work, call: Callable[[], Awaitable[float | None]]) -> None:
        """Call it when woken, and after the seconds that it returned, at most _SAFETY_POLL."""
        wake = self._wake[work]
        while True:
            wake.clear()
            seconds = await self._guard.attempt(work, call)
            pause = _SAFETY_POLL if seconds is None else min(seconds, _SAFETY_POLL)
            try:
                async with asyncio.timeout(pause):
                    await wake.wait()
            except TimeoutError:
                continue

    async def _reconcile(self) -> None:
        await self._reconciler.reconcile()

    async def _wake_overdue(self) -> None:
        while True:
            await asyncio.sleep(_WAKE_EVERY)
            await self._guard.attempt("wake-up", self._overdue_scanner.wake)

    async def _remove_old(self) -> None:
        while True:
            await self._guard.attempt("retention", self._retention.sweep)
            await asyncio.sleep(_RETENTION_EVERY)

    async def _record_stuck_runs(self) -> None:
        while True:
            await self._guard.attempt("stuck-runs", self.stuck_runs.record)
            await asyncio.sleep(_STUCK_EVERY)

    async def _check_schedules(self) -> None:
        while True:
            await self._guard.attempt("drift", self._drift_detector.detect_and_repair)
            await self._guard.attempt("watchdog", self._watchdog.restart_silent)
            await asyncio.sleep(_CHECK_SCHEDULES_EVERY)

    async def _listen(self) -> None:
        async def until_it_breaks() -> None:
            async with self._ports.signals.listening(WORK_CHANNEL) as payloads:
                self._guard.succeeded("listen")
                for event in self._wake.values():
                    event.set()  # for work that came before we listened
                async for payload in payloads:
                    if payload in set(Work):
                        self._wake[Work(payload)].set()

        while True:
            await self._guard.attempt("listen", until_it_breaks)
            await asyncio.sleep(0.5)

    async def _beat(self) -> None:
        async def once() -> None:
            troubles = self._guard.troubles
            await self._ports.workers.beat(replace(self.beat, troubles=troubles))

        longest = BEAT_EVERY.total_seconds()  # a worker counts as silent after 10 s
        while True:
            await self._guard.attempt("beat", once, longest=longest)
            await asyncio.sleep(BEAT_EVERY.total_seconds())


async def end_tasks(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the tasks until every one has ended.

    One cancellation is not enough: before Python 3.12 `asyncio.wait_for` can lose a cancellation
    that comes at the same time as its result (gh-86296), and the connection pool uses it.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_CANCEL_AGAIN)


async def _retry_while_unreachable(attempt: Callable[[], Awaitable[_Port]]) -> _Port:
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while True:
        try:
            return await attempt()
        except UnreachableError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.3)


def _now() -> datetime:
    return datetime.now(UTC)
