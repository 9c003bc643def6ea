"""Ports: the Protocols that adapters and executors implement.

Other packages import these names from here, never from a module of this package.
"""

from activityctl.ports.access import AuditTrail, InvalidTokenError, Tokens, TokenVerifier
from activityctl.ports.catalog import Catalog, ManifestSource
from activityctl.ports.chain import (
    CallRefusedError,
    ChainNode,
    ChainNodes,
    Chains,
    NodeFaultError,
    NodeState,
)
from activityctl.ports.chain_store import (
    ChainFilter,
    ChainState,
    ChainStore,
    ChainSummary,
    KnownBlock,
)
from activityctl.ports.events import EventArchive, EventStore, Routing, WaitsVersion
from activityctl.ports.facts import Facts
from activityctl.ports.gates import ADMITTED_WITHIN, BEGINS_WITHIN, HELD_PAUSE, Gates
from activityctl.ports.guards import (
    BegunLookup,
    BreakerChange,
    GuardedLookup,
    Guards,
    Hold,
    LookupEnd,
)
from activityctl.ports.histories import Histories
from activityctl.ports.hooks import (
    ContractSignatures,
    HookAnswer,
    HookEnd,
    HookLedger,
    HookOwner,
    HookRow,
    HookSender,
    Relay,
    RelayRequest,
)
from activityctl.ports.keys import KeyReader
from activityctl.ports.lanes import LaneEnd, Lanes, LaneTurn
from activityctl.ports.lateness import Lateness
from activityctl.ports.letters import DeadLetters
from activityctl.ports.logbook import Logbook, MetricsSource
from activityctl.ports.notices import Notices
from activityctl.ports.outbox import (
    ORDER_WAITS,
    Claim,
    FailingFirings,
    Outbox,
    PostponedFiring,
    RunStarter,
    WaitingFiring,
)
from activityctl.ports.purging import Occurrence, Purge
from activityctl.ports.recovery import StartedFiring, UnfinishedWork
from activityctl.ports.relaying import RelayLedger, RelayTask, SenderFacts
from activityctl.ports.replays import Replays
from activityctl.ports.restores import Restore, Restores
from activityctl.ports.retention import Batch, OldRows, Place, RetentionStore
from activityctl.ports.runs import BegunAttempt, KnownRun, LockedRun, OpenResult, RunLists, RunStore
from activityctl.ports.schedules import (
    ListedSchedule,
    ScheduleClient,
    ScheduleRegister,
    UnsyncedAlarm,
)
from activityctl.ports.secrets import Destination, FoundSecret, ResolveSecret, SecretReader
from activityctl.ports.signals import LOG_CHANNEL, WORK_CHANNEL, Signals, Work, Workers
from activityctl.ports.signer import ExecutionDraft, SignedTransaction, Signer, TransactionDraft
from activityctl.ports.signing import SigningLedger
from activityctl.ports.sources import SourceLedger
from activityctl.ports.spends import OTHER_SPEND, Spend, SpendLedger, SpentSums
from activityctl.ports.sql import SqlBounds, SqlClient, SqlCommand, SqlResult
from activityctl.ports.storage import Storage, StorageReport
from activityctl.ports.stuck import QuietWorkflow, StuckRuns, StuckSummary, StuckWorkflow
from activityctl.ports.tasks import (
    ContextSource,
    Decide,
    Executor,
    ExecutorOutcome,
    JsonValue,
    SourceCall,
    TaskCall,
)
from activityctl.ports.timetable import (
    WAKE_AFTER,
    Backfills,
    LockedPastTimes,
    OverdueAlarm,
    RingResult,
    ServedSchedule,
    Timetable,
)
from activityctl.ports.tracing import NoSpans, Outgoing, SpanSink, untraced
from activityctl.ports.waits import GivenAnswer, Waits

__all__ = [
    "ADMITTED_WITHIN",
    "BEGINS_WITHIN",
    "HELD_PAUSE",
    "LOG_CHANNEL",
    "ORDER_WAITS",
    "OTHER_SPEND",
    "WAKE_AFTER",
    "WORK_CHANNEL",
    "AuditTrail",
    "Backfills",
    "Batch",
    "BegunAttempt",
    "BegunLookup",
    "BreakerChange",
    "CallRefusedError",
    "Catalog",
    "ChainFilter",
    "ChainNode",
    "ChainNodes",
    "ChainState",
    "ChainStore",
    "ChainSummary",
    "Chains",
    "Claim",
    "ContextSource",
    "ContractSignatures",
    "DeadLetters",
    "Decide",
    "Destination",
    "EventArchive",
    "EventStore",
    "ExecutionDraft",
    "Executor",
    "ExecutorOutcome",
    "Facts",
    "FailingFirings",
    "FoundSecret",
    "Gates",
    "GivenAnswer",
    "GuardedLookup",
    "Guards",
    "Histories",
    "Hold",
    "HookAnswer",
    "HookEnd",
    "HookLedger",
    "HookOwner",
    "HookRow",
    "HookSender",
    "InvalidTokenError",
    "JsonValue",
    "KeyReader",
    "KnownBlock",
    "KnownRun",
    "LaneEnd",
    "LaneTurn",
    "Lanes",
    "Lateness",
    "ListedSchedule",
    "LockedPastTimes",
    "LockedRun",
    "Logbook",
    "LookupEnd",
    "ManifestSource",
    "MetricsSource",
    "NoSpans",
    "NodeFaultError",
    "NodeState",
    "Notices",
    "Occurrence",
    "OldRows",
    "OpenResult",
    "Outbox",
    "Outgoing",
    "OverdueAlarm",
    "Place",
    "PostponedFiring",
    "Purge",
    "QuietWorkflow",
    "Relay",
    "RelayLedger",
    "RelayRequest",
    "RelayTask",
    "Replays",
    "ResolveSecret",
    "Restore",
    "Restores",
    "RetentionStore",
    "RingResult",
    "Routing",
    "RunLists",
    "RunStarter",
    "RunStore",
    "ScheduleClient",
    "ScheduleRegister",
    "SecretReader",
    "SenderFacts",
    "ServedSchedule",
    "Signals",
    "SignedTransaction",
    "Signer",
    "SigningLedger",
    "SourceCall",
    "SourceLedger",
    "SpanSink",
    "Spend",
    "SpendLedger",
    "SpentSums",
    "SqlBounds",
    "SqlClient",
    "SqlCommand",
    "SqlResult",
    "StartedFiring",
    "Storage",
    "StorageReport",
    "StuckRuns",
    "StuckSummary",
    "StuckWorkflow",
    "TaskCall",
    "Timetable",
    "TokenVerifier",
    "Tokens",
    "TransactionDraft",
    "UnfinishedWork",
    "UnsyncedAlarm",
    "WaitingFiring",
    "Waits",
    "WaitsVersion",
    "Work",
    "Workers",
    "untraced",
]
