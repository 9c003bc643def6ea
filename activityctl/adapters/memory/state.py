"""The state that all in-memory ports share: rows, locks and listeners."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.chain.reading import Reading, TriggerKey, Watch
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict
from activityctl.domain.gitops.answered import AnsweredRequest
from activityctl.domain.gitops.history import PastChange
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.backfill import Backfill
from activityctl.domain.runs.concurrency import Arrival
from activityctl.domain.runs.dead_letter import DeadLetter, LetterAction
from activityctl.domain.runs.lateness import NotedLateness
from activityctl.domain.runs.notices import Notice
from activityctl.domain.runs.replay_request import ReplayOptions
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.runs.waiting import Answer, Wait
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.sources.traffic import RefusedRequest, SourceTraffic
from activityctl.domain.tasks.attempt import Attempt
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.tasks.guard import Guard
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.log import Cursor, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.domain.values.untrusted import storable
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import LOG_CHANNEL, WORK_CHANNEL, HookRow, Work


@frozen_dataclass
class DefinitionRow:
    """A definition with the id of its current revision."""

    name: str
    revision_id: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    applyset: str | None = None


@frozen_dataclass
class CalendarRow:
    """A calendar, which may be deleted."""

    calendar: PresentCalendar
    deleted_at: datetime | None = None


@frozen_dataclass
class EventSourceRow:
    """An event source, which may be deleted."""

    source: PresentEventSource
    deleted_at: datetime | None = None


@frozen_dataclass
class MemorySchedule:
    """A trigger that follows the clock; `is_active` follows its subscription."""

    wanted: WantedSchedule
    is_active: bool = True
    cursor: datetime = field(default_factory=lambda: datetime.now(UTC))
    next_at: datetime | None = None
    fired: int = 0
    counts_after: datetime | None = None

    @property
    def wants_alarm(self) -> bool:
        """Whether an alarm must wake us for it."""
        return self.is_active and self.next_at is not None


@frozen_dataclass
class MemoryAlarm:
    """An alarm that Temporal has, or that is about to be created or deleted."""

    observed_at: datetime | None = None
    error: str | None = None
    wakes: int = 0
    restarts: int = 0
    restarted_at: datetime | None = None


@frozen_dataclass
class FiringRow:
    """A firing of the outbox."""

    firing: FiringRequest
    created_at: datetime
    dispatched_at: datetime | None = None
    fires_at: datetime | None = None
    """None while a backfill holds it."""
    backfill_id: str | None = None
    event_ids: tuple[str, ...] = ()
    order_key: str | None = None
    priority: int = 0
    attempts: int = 0
    not_before: datetime | None = None
    failing_since: datetime | None = None
    error: str | None = None
    revision_id: str | None = None
    """The revision of its run; None for a firing that was stored without it."""
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    replay: ReplayOptions | None = None
    """How it replays a run; None if it is the first firing of its run."""
    workflow_id: str | None = None
    """The workflow of an alarm that runs it itself."""

    @property
    def may_start_at(self) -> datetime | None:
        """When it may start, or be tried again; None while a backfill holds it."""
        if self.fires_at is None or self.not_before is None:
            return self.fires_at
        return max(self.fires_at, self.not_before)


@frozen_dataclass
class EventRow:
    """A stored event, with the digest that recognises a duplicate."""

    event: ArrivedEvent
    digest: str


@frozen_dataclass
class BackfillRow:
    """A backfill; its firings are among the other firings."""

    backfill: Backfill
    is_cancelled: bool = False


@frozen_dataclass
class RunRow:
    """A run, with the fields that are not shown to users."""

    run: Run
    workflow_id: str
    cancel_requested_at: datetime | None = None
    let_in_at: datetime | None = None
    arrival: Arrival | None = None
    """Its place in the queue; None for a run that passed no gate."""


@frozen_dataclass
class TaskRow:
    """A task instance, with the number of its failed attempts."""

    task: TaskInstance
    failures: int = 0


@frozen_dataclass
class WaitRow:
    """The wait of a task, and its answer."""

    wait: Wait
    answer: Answer | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    looks_after: int | None = 0
    """How far a wait for an event has looked at routed events; None once at all."""
    announce_at: datetime | None = None
    """When something is to be announced of the task; None for never again."""
    child_run_id: str | None = None
    """The run that the task has started."""


@frozen_dataclass
class HoldRow:
    """A task that a breaker or a limit holds up."""

    place: int
    limit: str | None
    look_at: datetime
    since: datetime
    slot: datetime | None = None
    breaker: str | None = None


@frozen_dataclass
class WorkerRow:
    """A worker, and the time of its last heartbeat."""

    beat: WorkerBeat
    seen_at: datetime


@frozen_dataclass
class StuckRow:
    """A workflow that cannot go on and has no open run; `since` is None after its replacement."""

    began_at: datetime
    since: datetime | None
    reason: str


@dataclass(slots=True)
class CatalogTables:
    """The tables that a transaction of the catalog changes; subscriptions and schedules by id."""

    definitions: dict[str, DefinitionRow] = field(default_factory=dict)
    revisions: dict[str, Revision] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    schedules: dict[str, MemorySchedule] = field(default_factory=dict)
    history: dict[tuple[str, str], list[PastChange]] = field(default_factory=dict)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    """Stands in for the clock of Postgres."""
    calendars: dict[str, CalendarRow] = field(default_factory=dict)
    sources: dict[str, EventSourceRow] = field(default_factory=dict)

    def copy(self) -> "CatalogTables":
        """Return a copy of the tables with the same rows."""
        return CatalogTables(
            dict(self.definitions),
            dict(self.revisions),
            dict(self.subscriptions),
            dict(self.schedules),
            {key: list(entries) for key, entries in self.history.items()},
            self.clock,
            dict(self.calendars),
            dict(self.sources),
        )


@dataclass(slots=True)
class MemoryState:
    """The rows that all in-memory ports of one test read and write."""

    catalog: CatalogTables = field(default_factory=CatalogTables)
    answered: dict[tuple[str, str], AnsweredRequest] = field(default_factory=dict)
    """By actor and key."""
    alarms: dict[str, MemoryAlarm] = field(default_factory=dict)
    firings: dict[str, FiringRow] = field(default_factory=dict)
    """By id, in the order in which they were decided."""
    claimed: set[str] = field(default_factory=set)
    events: dict[str, EventRow] = field(default_factory=dict)
    """By our id, in the order of arrival."""
    verdicts: dict[tuple[str, str, str, str], Verdict] = field(default_factory=dict)
    """By event, subscription, trigger and replay."""
    gatherings: dict[GatheringKey, Gathering] = field(default_factory=dict)
    backfills: dict[str, BackfillRow] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    tasks: dict[str, TaskRow] = field(default_factory=dict)
    waits: dict[str, WaitRow] = field(default_factory=dict)
    """By task id."""
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    """By task and number."""
    breakers: dict[str, Breaker] = field(default_factory=dict)
    limits: dict[str, datetime | None] = field(default_factory=dict)
    """Until when each limit is used up, by name."""
    lookups: dict[str, Guard] = field(default_factory=dict)
    """What may hold up each lookup that has asked, by its id."""
    holds: dict[str, HoldRow] = field(default_factory=dict)
    """By task id, in the order of arrival."""
    dead_letters: dict[str, DeadLetter] = field(default_factory=dict)
    hooks: dict[str, HookRow] = field(default_factory=dict)
    """By key."""
    letter_actions: dict[str, list[LetterAction]] = field(default_factory=lambda: defaultdict(list))
    """By letter id, oldest first."""
    late_runs: dict[tuple[str, str], tuple[str, NotedLateness]] = field(default_factory=dict)
    """The name of the subscription and what was noted, by run and deadline."""
    notices: list[tuple[int, Notice, str | None]] = field(default_factory=list)
    """What is to be told: its number, the notice, and its batch when it was gathered."""
    notices_written: int = 0
    troubles: list[tuple[str, str, int, datetime]] = field(default_factory=list)
    """What subscriptions must recover from: the subscription, failed or missed, how many, when."""
    log: list[tuple[Cursor, LogEntry]] = field(default_factory=list)
    workers: dict[str, WorkerRow] = field(default_factory=dict)
    stuck_workflows: dict[str, StuckRow] = field(default_factory=dict)
    source_traffic: dict[str, SourceTraffic] = field(default_factory=dict)
    refused_requests: dict[str, list[RefusedRequest]] = field(default_factory=dict)
    """By the name of the source, oldest first."""
    catalog_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    chain_readings: dict[str, Reading] = field(default_factory=dict)
    chain_watches: dict[TriggerKey, Watch] = field(default_factory=dict)
    chain_changes: int = 0
    """How many triggers of chains have begun or ended."""
    chains_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reconciler_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    auditor_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    audit: list[AuditEntry] = field(default_factory=list)
    router_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    run_locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    listeners: dict[str, list[asyncio.Queue[str]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def clock(self) -> datetime:
        """Return the time, by the one clock that all ports use."""
        return self.catalog.clock()

    def has_labels(self, subscription_id: str, selection: Selection) -> bool:
        """Return whether the subscription has the labels that are selected."""
        owner = self.catalog.subscriptions.get(subscription_id)
        labels = owner.labels if owner else {}
        return all(labels.get(key) == value for key, value in selection.labels.items())

    def frozen_of(
        self, subscription: Subscription, firing: FiringRow | None = None
    ) -> tuple[str, Mapping[str, JsonValue]]:
        """Return the revision id and the params of the firing, or those of now."""
        if firing is not None and firing.revision_id is not None:
            return firing.revision_id, firing.params
        return self.catalog.definitions[subscription.definition].revision_id, subscription.params

    def frozen(self, firing: FiringRow) -> FiringRow:
        """Return the firing with the revision and the params of now."""
        subscription = self.catalog.subscriptions.get(firing.firing.subscription_id)
        if subscription is None:
            return firing
        revision_id, params = self.frozen_of(subscription)
        return replace(firing, revision_id=revision_id, params=params)

    def notify(self, channel: str, payload: str) -> None:
        """Give the payload to all current listeners of the channel."""
        for queue in self.listeners[channel]:
            queue.put_nowait(payload)

    def wake_workers(self, work: Work) -> None:
        """Wake the workers that are listening."""
        self.notify(WORK_CHANNEL, work)

    def write_log_entries(self, entries: Sequence[LogEntry], *, again: bool = False) -> None:
        """Add the entries to the log, and wake its readers once for each subscription.

        With `again`, only those that are not there yet.
        """
        present = [replace(entry, id=0) for _, entry in self.log] if again else []
        for entry in entries:
            number = len(self.log) + 1
            stored = replace(
                entry,
                message=storable(entry.message),
                metadata=stored_json(dict(entry.metadata)),
            )
            if stored not in present:
                stored = replace(stored, id=number, transaction=number)
                self.log.append((Cursor(number, number), stored))
        for subscription in sorted({entry.subscription_id for entry in entries}):
            self.notify(LOG_CHANNEL, subscription)


def stored_json(value: JsonValue) -> JsonValue:
    """Return the value as jsonb returns it; raise TypeError or ValueError if it is not JSON."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(key): stored_json(child) for key, child in value.items()}
        case list() | tuple():
            return [stored_json(child) for child in value]
        case _:
            canonical_json(value)
            return value


def stored_text(text: str | None) -> str | None:
    """Return the text as Postgres returns it."""
    return None if text is None else storable(text)


def spec_of(revision: Revision) -> DefinitionSpec:
    """Return the typed spec of a revision."""
    return DefinitionSpec.model_validate_json(canonical_json(revision.spec))
