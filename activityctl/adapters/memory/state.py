"""What all memory twins share: rows, locks and listeners; what may be asked of them is not here."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict
from activityctl.domain.gitops.history import PastChange
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.backfill import Backfill
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.log import Cursor, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import storable
from activityctl.ports import LOG_CHANNEL, WORK_CHANNEL, Work


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A calendar, which may be deleted."""

    calendar: PresentCalendar
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MemorySchedule:
    """A schedule; a wanted hash is `<timing>:<subscription status>`, None when it must go."""

    wanted: WantedSchedule
    wanted_hash: str | None
    observed_hash: str | None = None
    observed_at: datetime | None = None
    error: str | None = None
    cursor: datetime = field(default_factory=lambda: datetime.now(UTC))
    next_at: datetime | None = None
    fired: int = 0
    counts_after: datetime | None = None
    wakes: int = 0
    restarts: int = 0
    restarted_at: datetime | None = None

    def changed(self, wanted_hash: str | None) -> "MemorySchedule":
        """Return it wanted so; what was observed of an earlier wish no longer counts."""
        if wanted_hash == self.wanted_hash:
            return self
        return replace(self, wanted_hash=wanted_hash, observed_hash=None, error=None)


@dataclass(frozen=True, slots=True)
class FiringRow:
    """A firing of the outbox."""

    firing: FiringRequest
    created_at: datetime
    dispatched_at: datetime | None = None
    fires_at: datetime | None = None
    """None while it is held back."""
    backfill_id: str | None = None
    event_ids: tuple[str, ...] = ()
    order_key: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of the archive, and the digest by which a duplicate is known."""

    event: ArrivedEvent
    digest: str


@dataclass(frozen=True, slots=True)
class BackfillRow:
    """A backfill; its firings are among the others."""

    backfill: Backfill
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run with what only the engine reads."""

    run: Run
    workflow_id: str
    cancel_requested_at: datetime | None = None
    let_in_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task instance with the count of its failed attempts."""

    task: TaskInstance
    failures: int = 0


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker and when it was last heard of."""

    beat: WorkerBeat
    seen_at: datetime


@dataclass(slots=True)
class CatalogTables:
    """What a catalog's transaction changes; subscriptions and schedules by id."""

    definitions: dict[str, DefinitionRow] = field(default_factory=dict)
    revisions: dict[str, Revision] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    schedules: dict[str, MemorySchedule] = field(default_factory=dict)
    history: dict[tuple[str, str], list[PastChange]] = field(default_factory=dict)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    """What Postgres' clock is to the real adapters."""
    calendars: dict[str, CalendarRow] = field(default_factory=dict)

    def copy(self) -> "CatalogTables":
        """Return tables of their own with the same rows."""
        return CatalogTables(
            dict(self.definitions),
            dict(self.revisions),
            dict(self.subscriptions),
            dict(self.schedules),
            {key: list(entries) for key, entries in self.history.items()},
            self.clock,
            dict(self.calendars),
        )


@dataclass(slots=True)
class MemoryState:
    """The rows that every twin of one test reads and writes."""

    catalog: CatalogTables = field(default_factory=CatalogTables)
    firings: dict[str, FiringRow] = field(default_factory=dict)
    """In the order in which they were decided on."""
    claimed: set[str] = field(default_factory=set)
    events: dict[str, EventRow] = field(default_factory=dict)
    """By our id, in the order of arrival."""
    verdicts: dict[tuple[str, str, str, str], Verdict] = field(default_factory=dict)
    """By event, subscription, trigger and feed."""
    gatherings: dict[GatheringKey, Gathering] = field(default_factory=dict)
    backfills: dict[str, BackfillRow] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    tasks: dict[str, TaskRow] = field(default_factory=dict)
    dead_letters: dict[str, DeadLetter] = field(default_factory=dict)
    log: list[tuple[Cursor, LogEntry]] = field(default_factory=list)
    workers: dict[str, WorkerRow] = field(default_factory=dict)
    catalog_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reconciler_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    auditor_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    router_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    run_locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    listeners: dict[str, list[asyncio.Queue[str]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def clock(self) -> datetime:
        """Return the time by which everything in the ledger goes."""
        return self.catalog.clock()

    def notify(self, channel: str, payload: str) -> None:
        """Give the payload to all who listen now."""
        for queue in self.listeners[channel]:
            queue.put_nowait(payload)

    def wake_workers(self, work: Work) -> None:
        """Wake the workers that listen now."""
        self.notify(WORK_CHANNEL, work)

    def write_log_entries(self, entries: Sequence[LogEntry]) -> None:
        """Add the entries to the log and wake those who follow, once a subscription."""
        for entry in entries:
            number = len(self.log) + 1
            kept = replace(
                entry,
                message=storable(entry.message),
                metadata=kept_json(dict(entry.metadata)),
                id=number,
            )
            self.log.append((Cursor(number, number), kept))
        for subscription in sorted({entry.subscription_id for entry in entries}):
            self.notify(LOG_CHANNEL, subscription)


def kept_json(value: JsonValue) -> JsonValue:
    """Return the value as jsonb would give it back; TypeError or ValueError for what is no JSON."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(key): kept_json(child) for key, child in value.items()}
        case list() | tuple():
            return [kept_json(child) for child in value]
        case _:
            canonical_json(value)
            return value


def kept_text(text: str | None) -> str | None:
    """Return the text as Postgres would give it back."""
    return None if text is None else storable(text)


def spec_of(revision: Revision) -> DefinitionSpec:
    """Return the typed spec of a revision."""
    return DefinitionSpec.model_validate_json(canonical_json(revision.spec))
