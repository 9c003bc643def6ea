"""The worker: runs workflows and steps, and the background loops beside them."""

import asyncio
import logging
import os
import socket
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from activityctl import wiring
from activityctl.adapters.postgres.schema.version import require_schema
from activityctl.adapters.temporal.remembered import RememberedHistories
from activityctl.adapters.temporal.search_attributes import SearchAttributes
from activityctl.adapters.temporal.watching_runner import WatchingRunner
from activityctl.daemon.log import hide_secret
from activityctl.daemon.protection import COMMANDS_AS_ROOT, runs_as_root
from activityctl.daemon.worker.background import BackgroundLoops
from activityctl.daemon.worker.evaluators import Evaluators
from activityctl.daemon.worker.restoring import settle_restore, wait_for_restore
from activityctl.daemon.worker.run_spans import RunSpans
from activityctl.daemon.worker.server_clock import ServerClock
from activityctl.daemon.worker.stopping import Stopping, stop_on_signals
from activityctl.errors import ActivityctlError, RefusedError, UnreachableError
from activityctl.settings import Settings
from activityctl.steps.admit import AdmitStep
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.execute_many import ExecuteManyStep, runs_going_on
from activityctl.steps.guarded_lookups import GuardedLookups
from activityctl.steps.log_writer import log_writer
from activityctl.steps.places import Places
from activityctl.steps.record import RecordStep
from activityctl.steps.ring import RingStep
from activityctl.steps.settle import SettleStep
from activityctl.steps.tracing import Tracing
from activityctl.version import VERSION
from activityctl.workflows.alarm import AlarmWorkflow
from activityctl.workflows.calls import CONTEXT_QUEUE, TASK_QUEUE, Orders
from activityctl.workflows.run_activity import RunActivityWorkflow
from activityctl.workflows.run_batch import RunBatchWorkflow

_Port = TypeVar("_Port")

_LOG = logging.getLogger(__name__)
_POOL: Final = 16
_STICKY: Final = timedelta(seconds=2)
_CANCEL_AGAIN: Final = 0.2
_CACHED_WORKFLOWS: Final = 250
"""A cached workflow uses about 80 kB; in a burst, the others are replayed when needed."""
_LOOKUPS_AT_ONCE: Final = 300
"""How many contexts a worker looks up at once; each mostly waits for a server."""
_DRAIN: Final = timedelta(seconds=15)
_NOT_VALIDATED: Final = "Worker validation failed"
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
    # A task may end by itself while Temporal's request to stop it is on its way.
    warnings.filterwarnings("ignore", message="Cannot find activity to cancel")
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
        url = await wiring.database_url(settings)
        await wait_for_restore(ports.restores)
        await _retry_while_unreachable(lambda: require_schema(url))
        client = await _retry_while_unreachable(lambda: wiring.connect_temporal(settings))
        await _warn(settings)
        secrets = wiring.open_secrets(settings, on_read=hide_secret)
        chains = await stack.enter_async_context(wiring.open_chains(settings, secrets))
        executors = await stack.enter_async_context(
            wiring.open_executors(
                settings, ports, wiring.open_keys(settings, on_read=hide_secret), chains
            )
        )
        evaluators = stack.enter_context(Evaluators())
        clock = ServerClock(ports.workers.server_time, wall=_now)
        await clock.synchronise()
        recorder = RecordStep(ports.runs, clock, evaluators.deciding)
        sources = await stack.enter_async_context(wiring.open_sources(settings, ports))
        name = f"worker {socket.gethostname()} pid {os.getpid()}"
        tracing, interceptors = _open_tracing(settings, ports, clock, stack)
        log = await stack.enter_async_context(log_writer(ports.logbook))
        admit = AdmitStep(
            ports.runs,
            ports.timetable,
            ports.gates,
            sources,
            clock,
            evaluators.deciding,
            log=log,
            secrets=secrets,
            guarded=GuardedLookups(ports.guards, log, name, clock),
            tracing=tracing,
        )
        stack.push_async_callback(admit.close)
        execute = ExecuteStep(
            ports.runs,
            ports.logbook,
            executors,
            recorder,
            clock,
            name,
            lanes=ports.lanes,
            places=Places(settings.max_tasks),
            secrets=secrets,
            guards=ports.guards,
            tracing=tracing,
        )
        recorder.stop_here = execute.stop
        stack.push_async_callback(execute.close)
        attributes = await _search_attributes(settings, client, admit)
        temporal = (wiring.build_starter(client, attributes), wiring.build_schedule_client(client))
        await _retry_while_unreachable(lambda: settle_restore(ports, temporal, clock))
        loops = BackgroundLoops(
            settings,
            ports,
            temporal,
            (admit, recorder, execute.places),
            evaluator=evaluators.for_event,
            check_schema=lambda: require_schema(url),
            clock=clock,
        )
        loops.end_for_restore = stopping.ask_for_restore
        loops.watch_chains(chains)
        loops.look_at_search_attributes(attributes.look)
        settle = SettleStep(ports.runs, recorder, clock, evaluators.deciding)
        activities: list[Callable[..., Any]] = [
            _ring_step(ports, attributes, admit).ring,
            admit.admit,
            admit.admit_many,
            execute.execute,
            _together(execute, ports, interceptors).execute_many,
            recorder.record,
            settle.settle,
        ]
        worker = _temporal_worker(
            settings, client, activities, _watching_runner(loops, client), interceptors
        )
        lookups = _context_worker(client, admit, interceptors)
        with _unanswered(stopping):
            async with worker, lookups, asyncio.TaskGroup() as group:
                tasks = [group.create_task(loops.run(loop)) for loop in loops.loops]
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
    if stopping.is_for_restore:
        raise RefusedError(
            "the database is restored from a backup, so this worker has ended",
            hint="start it again: it waits until the restore is done",
        )


async def _warn(settings: Settings) -> None:
    """Log what is dangerous in the settings."""
    for name, problem in (await wiring.unprotected_connections(settings)).items():
        _LOG.warning("the connection to %s is not safe: %s", name, problem)
    if settings.allow_commands and runs_as_root():
        _LOG.warning(COMMANDS_AS_ROOT)


async def _search_attributes(
    settings: Settings, client: Client, admit: AdmitStep
) -> SearchAttributes:
    """Return what knows which search attributes the server has now; ours gets the missing ones."""
    attributes = wiring.build_search_attributes(client)
    if settings.uses_local_daemon:
        await attributes.register()
    await attributes.look()
    admit.has_attributes = lambda: attributes.are_used
    return attributes


def _together(
    execute: ExecuteStep, ports: wiring.Ports, spans: Sequence[RunSpans]
) -> ExecuteManyStep:
    """Return the step that carries out tasks of several runs."""

    def tell(orders: Orders) -> None:
        for each in spans:
            each.look(orders)

    return ExecuteManyStep(
        execute.carry_out,
        stop=execute.stop,
        going_on=lambda run_ids: runs_going_on(ports.run_lists, run_ids),
        places=execute.places,
        on_end=tell,
    )


def _ring_step(ports: wiring.Ports, attributes: SearchAttributes, admit: AdmitStep) -> RingStep:
    step = RingStep(ports.timetable, ports.runs)
    step.has_attributes = lambda: attributes.are_used
    step.read_ahead, step.admit_early = admit.read_ahead.keep, admit.early.begin
    return step


def _open_tracing(
    settings: Settings, ports: wiring.Ports, clock: ServerClock, stack: AsyncExitStack
) -> tuple[Tracing, list[RunSpans]]:
    """Return what traces attempts, and what looks for the ends of runs if spans are exported."""
    sink = stack.enter_context(wiring.open_spans(settings))
    tracing = Tracing(ports.runs, clock, sink)
    if not sink.is_open:
        return tracing, []
    spans = RunSpans(tracing)
    stack.push_async_callback(spans.close)
    return tracing, [spans]


@contextmanager
def _unanswered(stopping: Stopping) -> Iterator[None]:
    """Raise UnreachableError if Temporal did not answer the first question of a worker.

    The SDK asks for the namespace and reports a failure as RuntimeError. It is no error for a
    worker that was asked to stop meanwhile.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(_NOT_VALIDATED):
            raise
        if not stopping.is_asked:
            message = "Temporal does not answer, or does not know the namespace"
            raise UnreachableError(message, hint="activityctl doctor") from error
        _LOG.warning("Temporal did not answer before the worker stopped")


async def _leave(ports: wiring.Ports, worker_id: str) -> None:
    try:
        await ports.workers.leave(worker_id)
    except ActivityctlError as error:  # it counts as gone in some seconds
        _LOG.warning("could not record that this worker has stopped: %s", error)


def _watching_runner(loops: BackgroundLoops, client: Client) -> WatchingRunner:
    """Return what runs workflows; a loop looks for those that Temporal no longer has whole."""
    remembered = RememberedHistories(client)
    loops.look_for_lost_events(remembered.lost)
    return WatchingRunner(loops.stuck_runs, remembered.note)


def _temporal_worker(
    settings: Settings,
    client: Client,
    steps: Sequence[Callable[..., Any]],
    runner: WatchingRunner,
    interceptors: Sequence[Interceptor],
) -> Worker:
    return Worker(
        client,
        interceptors=interceptors,
        task_queue=TASK_QUEUE,
        workflows=[RunActivityWorkflow, RunBatchWorkflow, AlarmWorkflow],
        activities=steps,
        # The sandbox costs 4-9 ms for each run; a test checks that workflows obey its rules.
        workflow_runner=runner,
        build_id=VERSION,  # else the SDK reads each loaded module, which takes 0.3 s of CPU
        max_concurrent_activities=settings.max_tasks,
        max_cached_workflows=_CACHED_WORKFLOWS,
        sticky_queue_schedule_to_start_timeout=_STICKY,
        graceful_shutdown_timeout=_DRAIN,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
    )


def _context_worker(
    client: Client, admit: AdmitStep, interceptors: Sequence[Interceptor]
) -> Worker:
    """Return what looks up contexts: on a queue of its own, apart from tasks and admissions."""
    return Worker(
        client,
        interceptors=interceptors,
        task_queue=CONTEXT_QUEUE,
        activities=[admit.look_up],
        build_id=VERSION,
        max_concurrent_activities=_LOOKUPS_AT_ONCE,
        graceful_shutdown_timeout=timedelta(0),
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
    )


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
