"""Typed ids and how they are computed; the same arguments always give the same id."""

import hashlib
import json
import re
import uuid
from collections.abc import Container, Sequence
from functools import lru_cache
from itertools import chain, count
from typing import Any, Final, NewType

SubscriptionId = NewType("SubscriptionId", str)
RevisionId = NewType("RevisionId", str)
RunId = NewType("RunId", str)
TaskId = NewType("TaskId", str)
WorkflowId = NewType("WorkflowId", str)
ScheduleId = NewType("ScheduleId", str)
AlarmId = NewType("AlarmId", str)
EventId = NewType("EventId", str)

_ROOT: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:activityctl").bytes
_VARIANTS: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""What the first digit of the fourth group becomes, so that it says the variant of RFC 9562."""
_PARTS_SEPARATOR: Final = "\x1f"
"""Separates the parts of a hashed name; no name can contain it."""

_SCHEDULE: Final = re.compile(r"schedule/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([^/]+)")

ALARM_PREFIX: Final = "alarm/"
"""The start of the id of each alarm, and so of the workflows that alarms start."""

_SHORTENED: Final = 100
_RECENT: Final = 4_096
"""Ids of runs that are kept: a run in a burst asks for its id a dozen times."""

_BATCH: Final = "batch/"

BACKFILL_PREFIX: Final = "backfill-"
"""The start of the firing key of a run that a backfill requested."""

REPLAY_PREFIX: Final = "replay/"
"""The start of the firing key of a run that a replay of events started."""

RETRY_PREFIX: Final = "retry/"
"""The start of the firing key of a run that is a retry of a failed run."""

REPLAY_OF_PREFIX: Final = "replay-of/"
"""The start of the firing key of a run that is a replay of another run."""

MANUAL_TRIGGER: Final = "manual"
"""The trigger name of a run that was started by hand without a trigger of the definition."""


MAX_KEY_BYTES: Final = 800
"""The most bytes of a key that a person chooses. It ends in a workflow id, with up to 200 more
bytes for the names before and after it; Temporal allows 1,000. An index entry of Postgres, which
also has the key, may have 2.7 kB."""


_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


def _computed(*parts: str) -> str:
    """Return the UUID of version 5 of these parts, as `uuid.uuid5` does in more time."""
    name = _ROOT + _PARTS_SEPARATOR.join(parts).encode()
    digest = hashlib.sha1(name, usedforsecurity=False).hexdigest()
    variant = _VARIANTS[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def canonical_json(value: Any) -> str:
    """Return the canonical JSON text of a value: sorted keys, no spaces, non-ASCII kept.

    The value must not contain itself.
    """
    return _CANONICAL.encode(value)


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the value's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def subscription_id(name: str) -> SubscriptionId:
    """Return the id that a subscription gets under its first name; a rename does not change it.

    A deleted subscription that comes back has its old id.
    """
    return SubscriptionId(_computed("subscription", name))


def free_subscription_id(name: str, taken: Container[str]) -> SubscriptionId:
    """Return the id for a new subscription; another one if a renamed subscription has its id."""
    first = subscription_id(name)
    others = (_computed("subscription", name, str(number)) for number in count(2))
    return SubscriptionId(next(key for key in chain([first], others) if key not in taken))


def revision_id(definition: str, spec: Any) -> RevisionId:
    """Return the id of a revision: the hash of its definition's name and content."""
    return RevisionId(content_hash({"definition": definition, "spec": spec}))


@lru_cache(_RECENT)
def run_id(subscription: str, trigger: str, firing_key: str) -> RunId:
    """Return the id of the one run of (subscription, trigger, firing key)."""
    return RunId(_computed("run", subscription, trigger, firing_key))


def task_id(run: str, name: str, index: int) -> TaskId:
    """Return the id of the one task instance of (run, task name, index)."""
    return TaskId(_computed("task", run, name, str(index)))


def firing_id(subscription: str, trigger: str, firing_key: str) -> str:
    """The outbox row of a firing that a person or an event asked for."""
    return _computed("firing", subscription, trigger, firing_key)


def bounded_key(firing_key: str) -> str:
    """Return the key, or for one that is too long its start with its SHA-256.

    Firings that were stored before keys had a limit may have such keys; a run cannot.
    """
    if len(firing_key.encode()) <= MAX_KEY_BYTES:
        return firing_key
    digest = hashlib.sha256(firing_key.encode()).hexdigest()
    return f"{firing_key[:_SHORTENED]}…{digest}"


def dead_letter_id(run: str) -> str:
    """Return the id of the one dead letter of a run."""
    return _computed("deadletter", run)


def schedule_id(subscription: str, trigger: str) -> ScheduleId:
    """Return the id of the schedule of a subscription's trigger.

    Before alarms were shared, it was the id of a schedule in Temporal too.
    """
    return ScheduleId(f"schedule/{subscription}/{trigger}")


def parts_of_schedule(schedule: str) -> tuple[SubscriptionId, str] | None:
    """Return subscription and trigger of a schedule's id; None for an id that is not ours."""
    found = _SCHEDULE.fullmatch(schedule)
    return None if found is None else (SubscriptionId(found[1]), found[2])


NO_WORKFLOW: Final = WorkflowId("")
"""The workflow of a run that ended before Temporal had one for it."""


def is_alarm(schedule: str) -> bool:
    """Return whether a schedule in Temporal has the id of an alarm."""
    return schedule.startswith(ALARM_PREFIX)


def scheduled_workflow_id(subscription: str, trigger: str) -> WorkflowId:
    """Return the id of a workflow that a schedule of one trigger started, up to `-<time>`.

    Alarms are shared now, but workflows from before may go on.
    """
    return WorkflowId(f"run/{subscription}/{trigger}")


def workflow_id(subscription: str, trigger: str, firing_key: str) -> WorkflowId:
    """Return the id of a run's workflow that no schedule started."""
    return WorkflowId(f"run/{subscription}/{trigger}/{firing_key}")


def let_in_workflow_id(subscription: str, trigger: str, firing_key: str) -> WorkflowId:
    """Return the id of the workflow that continues a run after it was queued."""
    return WorkflowId(f"run/{subscription}/{trigger}/{firing_key}/let-in")


def batch_workflow_id(runs: Sequence[str]) -> WorkflowId:
    """Return the id of the workflow that executes these runs together."""
    return WorkflowId(_BATCH + _computed("batch", *runs))


def is_batch(workflow: str) -> bool:
    """Return whether the workflow may execute several runs together."""
    return workflow.startswith((_BATCH, ALARM_PREFIX))


def wake_up_workflow_id(subscription: str, trigger: str, firing_key: str) -> WorkflowId:
    """Return the id of the workflow that decided an overdue time before alarms were shared."""
    return WorkflowId(f"run/{subscription}/{trigger}/wake-up-{firing_key}")


def ringing_workflow_id(alarm: str, firing_key: str) -> WorkflowId:
    """Return the id of the workflow that does the work of an alarm which has not rung."""
    return WorkflowId(f"{alarm}/wake-up-{firing_key}")


def backfill_id(subscription: str, trigger: str, start: str, end: str) -> str:
    """Return the id of the one backfill of a trigger and a range of time."""
    return _computed("backfill", subscription, trigger, start, end)


def gathering_id(subscription: str, trigger: str, key: str) -> str:
    """Return the id of the one gathering of (subscription, trigger, value of its key)."""
    return _computed("gathering", subscription, trigger, key)


def closing_entry_id(entry: str) -> str:
    """Return the id of the entry of the audit that tells how a change has ended."""
    return _computed("closing entry", entry)


def event_id(source: str, sender_id: str) -> EventId:
    """Return the id of the one event of (source, id of the sender).

    No attribute of an event can contain the separator.
    """
    return EventId(_computed("event", source, sender_id))


def retry_key(run: str, number: int) -> str:
    """Return the firing key of the retry of a run; `number` counts its retries from 1."""
    return f"{RETRY_PREFIX}{run}" + (f"/{number}" if number > 1 else "")


def replay_of_key(run: str, name: str) -> str:
    """Return the firing key of the replay of a run that has this name."""
    return f"{REPLAY_OF_PREFIX}{run}/{name}"


def replayed_run(firing_key: str) -> RunId | None:
    """Return the run that a firing with this key retries or replays; None for any other firing."""
    prefix, _, rest = firing_key.partition("/")
    is_again = f"{prefix}/" in {RETRY_PREFIX, REPLAY_OF_PREFIX}
    return RunId(rest.partition("/")[0]) if is_again else None


def replay_id(*arguments: str) -> str:
    """Return the name of a replay of events; the same arguments give the same name."""
    return _computed("replay", *arguments)


def replay_key(replay: str, firing_key: str) -> str:
    """Return the firing key of a replayed event: the name of the replay, then its own key."""
    return f"{REPLAY_PREFIX}{replay}/{firing_key}"


def distinct_beginnings(ids: Sequence[str], least: int = 8) -> list[str]:
    """Return the beginnings of these different ids that are just long enough to tell them apart."""
    size = least
    while len({each[:size] for each in ids}) < len(set(ids)):
        size += 1
    return [each[:size] for each in ids]
