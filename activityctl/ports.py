"""What we ask of the outside, as Protocols; adapters and executors answer."""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, ClassVar, Final, Protocol

from pydantic import BaseModel

from activityctl.domain.admission import FiringFacts
from activityctl.domain.archive import Stretch
from activityctl.domain.arrival import ArrivedEvent, EmitOutcome, Verdict
from activityctl.domain.backfill import Backfill, BackfillProgress, Past
from activityctl.domain.day_calendar import PresentCalendar
from activityctl.domain.definition import DefinitionSpec, Revision
from activityctl.domain.drift import ObservedSchedule, RecordedSchedule
from activityctl.domain.envelope import EventEnvelope
from activityctl.domain.figures import Figures
from activityctl.domain.firing_ref import FiringRef, ManualFiring
from activityctl.domain.gathering import Gathering, GatheringKey
from activityctl.domain.history import UNKNOWN_ORIGIN, HistoryEntry, Origin
from activityctl.domain.ids import EventId, ScheduleId
from activityctl.domain.logbook import Cursor, DeadLetter, Level, LogEntry
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.match_index import Listener
from activityctl.domain.moment import DaySpan
from activityctl.domain.overlap import Entry
from activityctl.domain.plan import Plan, Present, WantedSchedule
from activityctl.domain.record import RunChange
from activityctl.domain.routing import EventFiring, Routed
from activityctl.domain.run import Run, RunState, RunStatus, TaskInstance
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import OperatorStatus, Subscription
from activityctl.domain.window import DaysByCalendar
from activityctl.domain.worker import WorkerBeat
from activityctl.errors import Problem

WORK_CHANNEL: Final = "activityctl_work"
"""Wakes workers; payloads: event, firing, cancel, queue, schedules."""
LOG_CHANNEL: Final = "activityctl_log"
"""Wakes readers of logs; the payload is a subscription's id."""

ORDER_WAITS: Final = timedelta(hours=1)
"""A firing of an order key waits at most this long for a run of the started one before it."""
BEGINS_WITHIN: Final = timedelta(seconds=5)
"""A run that was let in and has not begun by then may have lost its workflow."""

JsonValue = Any
"""A value made of None, bool, int, float, str, list and dict with str keys."""

# ---- tasks and context ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskCall:
    """One attempt of one task instance, as its executor sees it."""

    run_id: str
    task_id: str
    name: str
    index: int
    attempt: int
    idempotency_key: str
    """The same on every attempt of this task instance."""
    timeout_seconds: float
    """The attempt's start-to-close limit; the executor ends within it."""
    log: Callable[[Level, str, Mapping[str, JsonValue]], Awaitable[None]]
    """`await log(level, message, metadata)` writes a LogEntry of the run."""


@dataclass(frozen=True, slots=True)
class ExecutorOutcome:
    """What an attempt gave; `output` is JSON and what later tasks see."""

    output: JsonValue
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


class Executor(Protocol):
    """The body of a task kind; one instance serves a worker for its whole life."""

    kind: ClassVar[str]
    """The key in YAML."""
    body: ClassVar[type[BaseModel]]
    """The model of what stands under the key, checked again after rendering."""

    async def execute(self, body: Any, call: TaskCall) -> ExecutorOutcome:
        """Run one attempt; TaskError says what failed and whether to try again.

        Cancellation of the coroutine stops the work and leaves nothing running.
        """
        ...

    async def close(self) -> None:
        """Release what the instance holds."""
        ...


class ContextSource(Protocol):
    """A kind of context: looks a value up before a run's rules are evaluated."""

    kind: ClassVar[str]
    body: ClassVar[type[BaseModel]]

    async def resolve(self, body: Any, run: Run) -> JsonValue:
        """Return the value, as JSON; ActivityctlError says why there is none."""
        ...


# ---- manifests -----------------------------------------------------------------------


class ManifestSource(Protocol):
    """Reads manifests from where the user keeps them."""

    def read(self, paths: Sequence[str], *, recursive: bool) -> tuple[ManifestSet, list[Problem]]:
        """Return the manifests of right shape, and every problem of all files."""
        ...


# ---- the catalog: what is wanted -----------------------------------------------------


class Catalog(Protocol):
    """Definitions, subscriptions and the schedules that they ask for."""

    async def present(self) -> Present:
        """Return what lives, and deleted subscriptions by name."""
        ...

    def changing(self) -> AbstractAsyncContextManager[None]:
        """Hold the one lock under which the catalog is changed, in one transaction."""
        ...

    async def write(self, plan: Plan, now: datetime, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Carry out the plan and record it in the history; call it within `changing`."""
        ...

    async def history(self, kind: str, name: str) -> list[HistoryEntry]:
        """Return every recorded change of one object, the newest first."""
        ...

    async def definitions(self, selection: Selection) -> list[tuple[Mapping[str, Any], Revision]]:
        """Return the definitions (name, labels, times) with their current revisions."""
        ...

    async def calendars(self) -> Mapping[str, tuple[DaySpan, ...]]:
        """Return the days of every calendar that lives, by its name."""
        ...

    async def listed_calendars(self, selection: Selection) -> list[PresentCalendar]:
        """Return the calendars that live, by name."""
        ...

    async def revisions(self, selection: Selection) -> list[Revision]:
        """Return immutable revisions, newest first."""
        ...

    async def subscriptions(self, selection: Selection) -> list[Subscription]:
        """Return subscriptions by name; deleted ones only when asked for by status."""
        ...

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the one with that name, id or unique id prefix.

        NotFoundError when there is none, ConflictError when the prefix fits several.
        """
        ...

    async def set_subscription_status(
        self,
        subscription_id: str,
        status: OperatorStatus,
        now: datetime,
        *,
        catch_up: bool = False,
        reason: str | None = None,
    ) -> bool:
        """Pause or resume, and schedules follow; False when it was so, or deleted before.

        A reason is kept while it is paused; to resume ends its streak of failures.
        """
        ...


@dataclass(frozen=True, slots=True)
class ScheduleDrift:
    """A schedule in Temporal that is not as wanted; `wanted` None means it must go."""

    id: str
    wanted: WantedSchedule | None
    paused: bool
    wanted_hash: str | None


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A wanted schedule with what the reconciler last saw of it."""

    wanted: WantedSchedule
    subscription: str
    status: str
    """pending, active, paused or error."""
    error: str | None
    observed_at: datetime | None
    fired: int = 0
    """How many firings have started since the trigger was last changed; maxFirings counts them."""


class ScheduleRegister(Protocol):
    """Which schedules Temporal shall hold, and what it was last made to hold."""

    async def schedules(self, selection: Selection) -> list[ScheduleRow]:
        """Return the wanted schedules."""
        ...

    async def drifted(self, limit: int) -> list[ScheduleDrift]:
        """Return schedules whose wanted and observed hashes differ."""
        ...

    async def observed(self, drift: ScheduleDrift, now: datetime) -> None:
        """Record that Temporal now holds it (or no longer does)."""
        ...

    async def failed(self, drift: ScheduleDrift, error: str) -> None:
        """Record why Temporal could not be made to hold it."""
        ...

    async def unsettled(self, subscriptions: Sequence[str]) -> list[tuple[str, str | None]]:
        """Return (schedule id, last error) of those subscriptions' schedules that drift."""
        ...

    async def recorded(self, ids: Sequence[str]) -> Mapping[str, RecordedSchedule]:
        """Return what is recorded of these schedules; those of unknown subscriptions are absent."""
        ...

    async def placed(self, *, after: str, limit: int) -> list[ScheduleId]:
        """Return the ids, in their order, of schedules that are observed as wanted."""
        ...

    async def silent(self) -> list[RecordedSchedule]:
        """Return schedules that Temporal seems to hold but which have stopped waking us."""
        ...

    async def restarted(self, schedule_id: ScheduleId, now: datetime) -> None:
        """Record that a silent schedule was created again."""
        ...

    def auditing(self) -> AbstractAsyncContextManager[bool]:
        """Hold the one auditor's lock; False when another process holds it."""
        ...

    def reconciling(self) -> AbstractAsyncContextManager[bool]:
        """Hold the one reconciler's lock; False when another process holds it."""
        ...


class SchedulePlacer(Protocol):
    """Makes Temporal hold or drop schedules, and looks at those it holds."""

    async def place(self, wanted: WantedSchedule, *, paused: bool) -> None:
        """Create or update the schedule; repeating it changes nothing."""
        ...

    async def remove(self, schedule_id: str) -> None:
        """Delete the schedule; absent is fine."""
        ...

    def listed(self) -> AsyncIterator[list[ObservedSchedule]]:
        """Iterate over pages of all schedules whose id has our form.

        The list may be seconds old and shows less of each schedule than `observe`.
        """
        ...

    async def observe(self, schedule_id: str) -> ObservedSchedule | None:
        """Return the schedule as it is now, looked at in full; None when there is none."""
        ...


# ---- the ledger of nominal times -------------------------------------------------------


WAKE_AFTER: Final = timedelta(seconds=2)
"""Temporal wakes us within a tenth of this, unless it is busy, away or does not know that time."""


@dataclass(frozen=True, slots=True)
class OverdueSchedule:
    """A schedule whose next nominal time has passed without a wake-up."""

    subscription_id: str
    trigger: str
    next_at: datetime


class Timetable(Protocol):
    """How far each schedule has come; every nominal time is settled once, by Postgres' clock."""

    async def settle(self, firing: FiringRef) -> bool:
        """Give every nominal time that has come its fate, in one transaction.

        True when the caller's workflow carries its own firing on now. False when that time is
        not due, was settled otherwise, or starts later and by the dispatcher; or when an outage
        came between and it is too late: it is missed then, as its misfire policy has it.
        A firing that the dispatcher starts was settled before; nothing else is, then.
        """
        ...

    async def overdue(
        self, limit: int, *, late_by: timedelta = WAKE_AFTER
    ) -> list[OverdueSchedule]:
        """Return schedules that nothing woke within that long of their next nominal time."""
        ...


# ---- firings and runs ----------------------------------------------------------------


class Claim(Protocol):
    """Firings that this dispatcher alone may start, until the block ends."""

    firings: list[FiringRef]

    async def dispatched(self, firings: list[FiringRef], now: datetime) -> None:
        """Mark them as started."""
        ...


@dataclass(frozen=True, slots=True)
class WaitingFiring:
    """A firing of a cron or interval trigger that was decided on and starts later."""

    trigger: str
    due_at: datetime
    """The nominal time."""
    fires_at: datetime


class Outbox(Protocol):
    """Firings that were decided on, kept until the dispatcher has started them."""

    async def add(self, firings: list[ManualFiring], now: datetime) -> int:
        """Store the firings, after which none can be lost; return how many were new."""
        ...

    def claimed(self, limit: int) -> AbstractAsyncContextManager[Claim]:
        """Claim firings whose time has come: higher priority first, then the earliest.

        Held ones are passed over. Of one order key only the first that was decided on can be
        claimed, and once it is started the next only when a run answers it, or after ORDER_WAITS.
        """
        ...

    async def seconds_to_next(self) -> float | None:
        """Return how long until the next waiting firing may start; None when none waits."""
        ...

    async def waiting(self) -> int:
        """Return how many firings wait to be dispatched, those not held back."""
        ...

    async def waiting_of(self, subscription_id: str, limit: int) -> list[WaitingFiring]:
        """Return what the clock decided on and starts later, the earliest nominal times first."""
        ...


class RunStarter(Protocol):
    """Starts and cancels RunActivityWorkflows in Temporal."""

    async def start(self, firing: FiringRef) -> None:
        """Start the run's workflow; one that exists already is success."""
        ...

    async def cancel(self, workflow_id: str) -> bool:
        """Ask the workflow to cancel; False when no such workflow is open."""
        ...


class Opening(Enum):
    """What came of opening a run."""

    OPENED = auto()
    OURS = auto()
    """An earlier call of the same workflow had opened it."""
    TAKEN = auto()
    """Another workflow carries it, or it has ended."""


class RunStore(Protocol):
    """Runs and their task instances; every method is one statement or one transaction."""

    async def facts(self, firing: FiringRef) -> FiringFacts | None:
        """Return what admission needs; None when the subscription is unknown."""
        ...

    async def open(self, workflow_id: str, change: RunChange) -> Opening:
        """Insert the run with its first task instances, or begin one that was let in."""
        ...

    async def load(self, run_id: str) -> RunState | None:
        """Return the run with its tasks."""
        ...

    def locked(self, run_id: str) -> AbstractAsyncContextManager["LockedRun"]:
        """Hold the run's row while a decision about it is made and saved."""
        ...

    async def begin_attempt(self, task_id: str, now: datetime) -> TaskInstance | None:
        """Mark the task running and count the attempt; None when it has ended."""
        ...

    async def fail_attempt(self, task_id: str, error: str, entry: LogEntry) -> int:
        """Count and record a failed attempt; return how many have failed so far."""
        ...

    async def recent(
        self, subscription_id: str, *, limit: int, status: RunStatus | None, excluding: str
    ) -> list[tuple[Run, list[TaskInstance]]]:
        """Return the subscription's latest ended runs with their tasks, newest first."""
        ...

    async def request_cancel(self, run_id: str, now: datetime) -> bool:
        """Record the wish to cancel and wake the dispatcher; False when the run has ended."""
        ...

    async def cancel_requests(self) -> list[tuple[str, str]]:
        """Return (run id, workflow id) of open runs whose cancellation was asked for."""
        ...


class RunLists(Protocol):
    """Runs and what belongs to them, as people look at them."""

    async def runs(self, selection: Selection) -> list[Run]:
        """Return runs, newest first."""
        ...

    async def open_counts(self) -> dict[str, int]:
        """Return how many running and queued runs each subscription has, by its id."""
        ...

    async def find_run(self, reference: str) -> Run:
        """Return the run with that id or unique prefix of it."""
        ...

    async def runs_of(self, run_ids: Sequence[str]) -> list[Run]:
        """Return those of the runs that exist, in any order."""
        ...

    async def tasks(self, selection: Selection) -> list[TaskInstance]:
        """Return task instances, those of the newest run first."""
        ...

    async def dead_letters(self, selection: Selection) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        ...


class LockedRun(Protocol):
    """A run whose row nobody else can change until the block ends."""

    state: RunState | None

    async def save(self, change: RunChange) -> None:
        """Write the change; committed when the block ends without an exception."""
        ...


class Gates(Protocol):
    """Who may be at work at once and how many may start in a time, by Postgres' clock.

    Every call is one transaction for each subscription under locks, so that simultaneous
    calls decide one after the other.
    """

    async def enter(self, run: Run, spec: DefinitionSpec, workflow_id: str) -> Entry:
        """Insert the run, with its keys and Postgres' time, as its gates decide.

        Let in and queued runs are `queued`, a refused one is `skipped`, with its reason in the
        log. A queued run will be carried by the workflow `ids.let_in_workflow_id`. Those it
        replaces end when they queue, and are asked to cancel when they are at work. A run
        that exists is left as it is: let in for the workflow that carries it, else queued, or
        skipped when it has ended. Raises ExpressionError when a key cannot be rendered.
        """
        ...

    async def let_in(
        self, limit: int = 100, *, again_after: timedelta = BEGINS_WITHIN
    ) -> list[FiringRef]:
        """Let in the queued runs whose turn has come, each subscription's oldest first.

        Returns at most `limit` whose workflows are to be started: those let in now, then
        those that were let in `again_after` ago and have not begun. The queue of a paused
        subscription stays; that of a deleted one ends.
        """
        ...

    async def seconds_to_release(self) -> float | None:
        """Return how long until a throttle lets a queued run in; None when none waits for it."""
        ...


class Logbook(Protocol):
    """The log of every subscription."""

    async def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries and wake those who follow."""
        ...

    async def page(
        self,
        subscription_id: str,
        after: Cursor,
        *,
        limit: int,
        since: datetime | None = None,
        run_id: str | None = None,
    ) -> tuple[list[LogEntry], Cursor]:
        """Return the next entries after the cursor, and the cursor after them."""
        ...

    async def tail(self, subscription_id: str, count: int) -> Cursor:
        """Return the cursor before the last `count` entries."""
        ...


class Signals(Protocol):
    """Wake-up hints between processes; the tables are the truth."""

    def listening(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Iterate over the payloads of a channel; an empty text every second of silence."""
        ...


class Workers(Protocol):
    """Which workers are alive."""

    async def beat(self, worker: WorkerBeat) -> None:
        """Say that this worker lives."""
        ...

    async def leave(self, worker_id: str) -> None:
        """Say that this worker has stopped."""
        ...

    async def alive(self, since: datetime) -> list[WorkerBeat]:
        """Return the workers heard of since then."""
        ...


# ---- backfills -----------------------------------------------------------------------


class LockedPast(Protocol):
    """A trigger's past that no settlement changes until the block ends."""

    past: Past

    async def hold(self, backfill: Backfill, nominals: Sequence[datetime]) -> int:
        """Record the backfill with its firings held back; return how many of them are new.

        What another backfill still holds goes over to this one; a cancelled one is open again.
        """
        ...


class Backfills(Protocol):
    """Runs of past nominal times, a few at a time; stretches of time include both ends."""

    async def past(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> Past:
        """Return what is recorded of the trigger's nominal times in that stretch."""
        ...

    def locked(
        self, subscription_id: str, trigger: str, first: datetime, last: datetime
    ) -> AbstractAsyncContextManager[LockedPast]:
        """Hold the trigger's schedule while a backfill is chosen and recorded."""
        ...

    async def progress(self, wanted: Backfill, also: Collection[datetime]) -> BackfillProgress:
        """Return how far the backfill's firings have come.

        And those of the trigger's other backfills that are due at one of the times `also`.
        """
        ...

    async def cancel(self, subscription_id: str, trigger: str | None) -> int:
        """Let no held firing be released, of one trigger or of all; return how many those are."""
        ...

    async def release(self, limit: int) -> int:
        """Let the next held firings start, in the order of their times; return how many.

        As long as fewer than max_parallel of a backfill are released without an ended run. Where
        the stretches of a trigger's backfills overlap, none overtakes a time that another holds.
        """
        ...


class Census(Protocol):
    """How many of everything there are."""

    async def figures(self) -> Figures:
        """Count everything as it stands now, by Postgres' clock."""
        ...


# ---- events --------------------------------------------------------------------------


class Routing(Protocol):
    """Events whose routing nobody else decides on until the block ends."""

    events: list[ArrivedEvent]
    """The oldest unrouted ones, in order; fewer than asked for when they are large."""
    is_last: bool
    """Whether no other event waited."""
    catalog_version: int
    """Grows with every apply; what listens to events is read within the same block."""
    now: datetime
    """Postgres' time as the block began."""

    async def listeners(self) -> list[Listener]:
        """Return every event trigger of every subscription that is not deleted, all of one moment.

        `catalog_version` is then the version that these are of.
        """
        ...

    async def paused(self, subscriptions: Iterable[str]) -> frozenset[str]:
        """Return which of these subscriptions are paused."""
        ...

    async def calendars(self, names: Iterable[str]) -> DaysByCalendar:
        """Return the days of those of these calendars that live."""
        ...

    async def gatherings(
        self, keys: Iterable[GatheringKey], until: datetime, limit: int
    ) -> list[Gathering]:
        """Return those of these keys, and as many more that time changes until then, if any."""
        ...

    async def gathered(self, event_ids: Iterable[EventId]) -> dict[EventId, ArrivedEvent]:
        """Return those of the events that are still kept."""
        ...

    async def save(self, routed: Routed, now: datetime) -> None:
        """Write it and wake the dispatcher; committed when the block ends well."""
        ...


class EventStore(Protocol):
    """The archive of events, and the routing of those that have come."""

    async def add(self, events: Sequence[EventEnvelope]) -> list[EmitOutcome]:
        """Store the events, after which none can be lost, and wake the router.

        One outcome for each, in order; the same event twice in one call is a duplicate too.
        """
        ...

    def routing(self, limit: int) -> AbstractAsyncContextManager[Routing | None]:
        """Hold the one router's lock and the oldest unrouted events; None when others hold it.

        All in one transaction: whatever is written within it comes with `routed_at`, or not at all.
        """
        ...

    async def seconds_to_due(self) -> float | None:
        """Return how long until time changes what is gathered; None when nothing waits."""
        ...

    async def find_event(self, reference: str) -> ArrivedEvent:
        """Return the one with our id or the sender's, else with a unique prefix of ours.

        NotFoundError when there is none, ConflictError when the reference fits several.
        """
        ...

    async def events(self, selection: Selection) -> list[ArrivedEvent]:
        """Return events, newest first."""
        ...

    async def unrouted(self, event_ids: Sequence[str]) -> list[EventId]:
        """Return those of the events of which it is not yet found out whom they wake."""
        ...

    async def verdicts(self, event_ids: Sequence[str]) -> list[Verdict]:
        """Return what those events meant to whom, by event, subscription and trigger."""
        ...


class EventArchive(Protocol):
    """Events that have come: read again, fed again, and removed when their time is over."""

    async def count(self, stretch: Stretch) -> int:
        """Return how many events the stretch holds."""
        ...

    async def page(
        self,
        stretch: Stretch,
        after: ArrivedEvent | None,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[ArrivedEvent]:
        """Return the next events behind that one, as they arrived or the other way round.

        A page holds nothing open; what is removed between two pages is missing, no more.
        """
        ...

    async def feed(
        self, firings: Sequence[EventFiring], verdicts: Sequence[Verdict], now: datetime
    ) -> int:
        """Write what events fed again led to, in one transaction; return how many firings are new.

        A repeat adds nothing. A verdict of an earlier feeding by the same name gives way unless
        it is `woken`; what belongs to events that are gone is left out.
        """
        ...

    async def waiting(self, firing_keys: str) -> int:
        """Return how many firings are due and not started whose keys begin so."""
        ...

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest events over that age, by Postgres' clock; return how many.

        Their verdicts go with them. Left alone: events that are not routed, those of firings
        not started yet, and those that a gathering may still wait with.
        """
        ...
