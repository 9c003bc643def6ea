"""All in-memory ports on one shared state."""

from dataclasses import field

from activityctl.adapters.memory.access import MemoryAuditTrail, MemoryTokens
from activityctl.adapters.memory.catalog.catalog import MemoryCatalog
from activityctl.adapters.memory.catalog.sources import MemorySourceLedger
from activityctl.adapters.memory.events.archive import MemoryEventArchive
from activityctl.adapters.memory.events.chains import MemoryChainStore
from activityctl.adapters.memory.events.events import MemoryEventStore
from activityctl.adapters.memory.metrics import MemoryMetricsSource
from activityctl.adapters.memory.runs.facts import MemoryFacts
from activityctl.adapters.memory.runs.gates import MemoryGates
from activityctl.adapters.memory.runs.guards import MemoryGuards
from activityctl.adapters.memory.runs.hooks import MemoryHookLedger
from activityctl.adapters.memory.runs.lanes import MemoryLanes
from activityctl.adapters.memory.runs.lateness import MemoryLateness
from activityctl.adapters.memory.runs.letters import MemoryDeadLetters
from activityctl.adapters.memory.runs.lists import MemoryRunLists
from activityctl.adapters.memory.runs.logbook import MemoryLogbook
from activityctl.adapters.memory.runs.notices import MemoryNotices
from activityctl.adapters.memory.runs.replays import MemoryReplays
from activityctl.adapters.memory.runs.runs import MemoryRunStore
from activityctl.adapters.memory.runs.spends import MemorySpendLedger
from activityctl.adapters.memory.runs.stuck import MemoryStuckRuns
from activityctl.adapters.memory.runs.unfinished import MemoryUnfinishedWork
from activityctl.adapters.memory.runs.waits import MemoryWaits
from activityctl.adapters.memory.schedules.backfills import MemoryBackfills
from activityctl.adapters.memory.schedules.outbox import MemoryOutbox
from activityctl.adapters.memory.schedules.schedules import MemoryScheduleRegister
from activityctl.adapters.memory.schedules.timetable import MemoryTimetable
from activityctl.adapters.memory.signals import MemorySignals, MemoryWorkers
from activityctl.adapters.memory.state import MemoryState
from activityctl.adapters.memory.temporal import MemoryRunStarter, MemoryScheduleClient
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    AuditTrail,
    Backfills,
    Catalog,
    ChainStore,
    DeadLetters,
    EventArchive,
    EventStore,
    Facts,
    Gates,
    Guards,
    HookLedger,
    Lanes,
    Lateness,
    Logbook,
    MetricsSource,
    Notices,
    Outbox,
    Replays,
    RunLists,
    RunStore,
    ScheduleRegister,
    Signals,
    SourceLedger,
    SpendLedger,
    StuckRuns,
    Timetable,
    Tokens,
    UnfinishedWork,
    Waits,
    Workers,
)


@frozen_dataclass
class MemoryPorts:
    """The ports of `wiring.Ports`, under the same names, and the two ports of Temporal."""

    catalog: Catalog
    register: ScheduleRegister
    outbox: Outbox
    runs: RunStore
    run_lists: RunLists
    logbook: Logbook
    signals: Signals
    workers: Workers
    timetable: Timetable
    backfills: Backfills
    metrics: MetricsSource
    gates: Gates
    events: EventStore
    archive: EventArchive
    stuck_runs: StuckRuns
    unfinished: UnfinishedWork
    lanes: Lanes
    waits: Waits
    guards: Guards
    letters: DeadLetters
    replays: Replays
    lateness: Lateness
    facts: Facts
    notices: Notices
    hooks: HookLedger
    chains: ChainStore
    spends: SpendLedger
    tokens: Tokens
    audit: AuditTrail
    sources: SourceLedger
    starter: MemoryRunStarter = field(default_factory=MemoryRunStarter)
    schedule_client: MemoryScheduleClient = field(default_factory=MemoryScheduleClient)


def memory_ports(state: MemoryState | None = None) -> MemoryPorts:
    """Return the ports on the given state, or on an empty one."""
    shared = MemoryState() if state is None else state
    return MemoryPorts(
        MemoryCatalog(shared),
        MemoryScheduleRegister(shared),
        MemoryOutbox(shared),
        MemoryRunStore(shared),
        MemoryRunLists(shared),
        MemoryLogbook(shared),
        MemorySignals(shared),
        MemoryWorkers(shared),
        MemoryTimetable(shared),
        MemoryBackfills(shared),
        MemoryMetricsSource(shared),
        MemoryGates(shared),
        MemoryEventStore(shared),
        MemoryEventArchive(shared),
        MemoryStuckRuns(shared),
        MemoryUnfinishedWork(shared),
        MemoryLanes(shared),
        MemoryWaits(shared),
        MemoryGuards(shared),
        MemoryDeadLetters(shared),
        MemoryReplays(shared),
        MemoryLateness(shared),
        MemoryFacts(shared),
        MemoryNotices(shared),
        MemoryHookLedger(shared),
        MemoryChainStore(shared),
        MemorySpendLedger(),
        MemoryTokens(),
        MemoryAuditTrail(shared.audit),
        MemorySourceLedger(shared),
    )
