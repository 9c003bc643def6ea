"""Typed ids; every id the product computes is minted here, so a repeat mints the same one."""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from typing import Any, Final, NewType

SubscriptionId = NewType("SubscriptionId", str)
RevisionId = NewType("RevisionId", str)
RunId = NewType("RunId", str)
TaskId = NewType("TaskId", str)
WorkflowId = NewType("WorkflowId", str)
ScheduleId = NewType("ScheduleId", str)
EventId = NewType("EventId", str)

_ROOT: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:activityctl")
_PARTS_SEPARATOR: Final = "\x1f"
"""Stands between the parts of a name; the name pattern excludes it."""

_SCHEDULE: Final = re.compile(r"schedule/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([^/]+)")

_BATCH: Final = "batch/"

BACKFILL_PREFIX: Final = "backfill-"
"""Begins the firing key of a run that makes up for a nominal time of the past."""

REPLAY_PREFIX: Final = "replay/"
"""Begins the firing key of a run that answers an event which was fed again."""

MANUAL_TRIGGER: Final = "manual"
"""The trigger of a run started by hand without naming one of the definition's."""


def _computed(*parts: str) -> str:
    return str(uuid.uuid5(_ROOT, _PARTS_SEPARATOR.join(parts)))


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, UTF-8 kept."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the value's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def subscription_id(name: str) -> SubscriptionId:
    """A subscription's id follows from its name, so one that returns is the same one."""
    return SubscriptionId(_computed("subscription", name))


def revision_id(definition: str, spec: Any) -> RevisionId:
    """A revision's id is the hash of its definition's name and content."""
    return RevisionId(content_hash({"definition": definition, "spec": spec}))


def run_id(subscription: str, trigger: str, firing_key: str) -> RunId:
    """One run for each (subscription, trigger, firing key), whoever asks and how often."""
    return RunId(_computed("run", subscription, trigger, firing_key))


def task_id(run: str, name: str, index: int) -> TaskId:
    """One task instance for each (run, task name, index)."""
    return TaskId(_computed("task", run, name, str(index)))


def firing_id(subscription: str, trigger: str, firing_key: str) -> str:
    """The outbox row of a firing that a person or an event asked for."""
    return _computed("firing", subscription, trigger, firing_key)


def dead_letter_id(run: str) -> str:
    """One dead letter a run."""
    return _computed("deadletter", run)


def schedule_id(subscription: str, trigger: str) -> ScheduleId:
    """The Temporal schedule of one trigger of one subscription."""
    return ScheduleId(f"schedule/{subscription}/{trigger}")


def parts_of_schedule(schedule: str) -> tuple[SubscriptionId, str] | None:
    """Return the subscription and the trigger of a schedule's id; None for one not of ours."""
    found = _SCHEDULE.fullmatch(schedule)
    return None if found is None else (SubscriptionId(found[1]), found[2])


def scheduled_workflow_id(subscription: str, trigger: str) -> WorkflowId:
    """The id that a schedule's action carries; the server appends `-<nominal time>`."""
    return WorkflowId(f"run/{subscription}/{trigger}")


def workflow_id(subscription: str, trigger: str, firing_key: str) -> WorkflowId:
    """The id of a run's workflow that was not started by a schedule."""
    return WorkflowId(f"run/{subscription}/{trigger}/{firing_key}")


def let_in_workflow_id(subscription: str, trigger: str, firing_key: str) -> WorkflowId:
    """The id of the workflow that carries on a run which had to queue."""
    return WorkflowId(f"run/{subscription}/{trigger}/{firing_key}/let-in")


def batch_workflow_id(runs: Sequence[str]) -> WorkflowId:
    """The id of the workflow that carries those runs together."""
    return WorkflowId(_BATCH + _computed("batch", *runs))


def is_batch(workflow: str) -> bool:
    """Whether that workflow carries runs together."""
    return workflow.startswith(_BATCH)


def wake_up_workflow_id(subscription: str, trigger: str, firing_key: str) -> WorkflowId:
    """The id of the workflow that settles a nominal time for which no schedule woke us."""
    return WorkflowId(f"run/{subscription}/{trigger}/wake-up-{firing_key}")


def backfill_id(subscription: str, trigger: str, start: str, end: str) -> str:
    """One backfill for each trigger and stretch of time, however often it is asked for."""
    return _computed("backfill", subscription, trigger, start, end)


def gathering_id(subscription: str, trigger: str, key: str) -> str:
    """One gathering for each (subscription, trigger, value of its key)."""
    return _computed("gathering", subscription, trigger, key)


def event_id(source: str, sender_id: str) -> EventId:
    """One event for each (source, id of the sender); no attribute holds the separator."""
    return EventId(_computed("event", source, sender_id))


def replay_id(*arguments: str) -> str:
    """The name of a replay of events; the same arguments name the same one."""
    return _computed("replay", *arguments)


def replay_key(replay: str, firing_key: str) -> str:
    """The firing key that an event's own becomes when that replay feeds it again."""
    return f"{REPLAY_PREFIX}{replay}/{firing_key}"
