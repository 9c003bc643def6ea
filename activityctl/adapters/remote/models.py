"""Objects from the JSON of the API, so that commands work with what the stores return.

Each is what its JSON form says, so the same JSON is made of it; what that leaves out is empty.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from activityctl.domain.events.stored_event import Verdict, VerdictOutcome
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.dead_letter import DeadLetter, LetterAction
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.worker import LoopTrouble, WorkerBeat
from activityctl.domain.values.ids import EventId, RevisionId, RunId, SubscriptionId, TaskId
from activityctl.domain.values.log import Cursor, LogEntry
from activityctl.frozen_dataclass import frozen_dataclass

View = Mapping[str, Any]


def moment_of(text: str) -> datetime:
    """Return the time of a time stamp."""
    return datetime.fromisoformat(text).astimezone(UTC)


def moment_or_none(text: str | None) -> datetime | None:
    """Return the time of a time stamp; None for none."""
    return None if text is None else moment_of(text)


def run_of(view: View) -> Run:
    """Return a run; of its details those that the view has."""
    stuck = view.get("stuck") or {}
    return Run(
        id=RunId(view["id"]),
        subscription_id=SubscriptionId(view["subscriptionId"]),
        subscription=view["subscription"],
        definition=view["definition"],
        revision_id=RevisionId(view["revision"]),
        trigger=view["trigger"],
        firing_key=view["firingKey"],
        due_at=moment_of(view["dueAt"]),
        status=RunStatus(view["status"]),
        created_at=moment_of(view["createdAt"]),
        reason=view["reason"],
        started_at=moment_or_none(view["startedAt"]),
        ended_at=moment_or_none(view["endedAt"]),
        stuck_since=moment_or_none(stuck.get("since")),
        stuck_reason=stuck.get("reason"),
        replay_of=None if view.get("replayOf") is None else RunId(view["replayOf"]),
    )


def task_of(view: View) -> TaskInstance:
    """Return a task; credentials in its input and output are masked."""
    return TaskInstance(
        id=TaskId(view["id"]),
        run_id=RunId(view["run"]),
        name=view["name"],
        index=view["index"],
        phase=view["phase"],
        kind=view["kind"],
        status=TaskStatus(view["status"]),
        created_at=moment_of(view["createdAt"]),
        of=view["of"],
        input=view["input"],
        output=view["output"],
        error=view["error"],
        reason=view["reason"],
        attempts=view["attempts"],
        started_at=moment_or_none(view["startedAt"]),
        ended_at=moment_or_none(view["endedAt"]),
        waits_until=moment_or_none(view["waitsUntil"]),
        completed_by=view["completedBy"],
        code=view["code"],
    )


def subscription_of(view: View) -> Subscription:
    """Return a subscription; credentials in its params and state are masked."""
    paused_by = view["pausedByRun"]
    return Subscription(
        id=SubscriptionId(view["id"]),
        name=view["name"],
        definition=view["definition"],
        params=view["params"],
        triggers=view["triggers"],
        status=SubscriptionStatus(view["status"]),
        created_at=moment_of(view["createdAt"]),
        updated_at=moment_of(view["updatedAt"]),
        labels=view["labels"],
        annotations=view["annotations"],
        account=view["account"],
        state=view["state"],
        applyset=view["applyset"],
        failures=view["failures"],
        pause_reason=view["pauseReason"],
        paused_at=moment_or_none(view["pausedAt"]),
        paused_by_run=None if paused_by is None else RunId(paused_by),
    )


def letter_of(view: View) -> DeadLetter:
    """Return a dead letter with the last action."""
    last = view["lastAction"]
    return DeadLetter(
        id=view["id"],
        run_id=view["run"],
        subscription_id=view["subscriptionId"],
        reason=view["reason"],
        created_at=moment_of(view["createdAt"]),
        subscription=view["subscription"],
        definition=view["definition"],
        trigger=view["trigger"],
        task=view["task"],
        replay_of=view["replayOf"],
        actions=() if last is None else (_action_of(last),),
    )


def _action_of(view: View) -> LetterAction:
    result = view["result"]
    return LetterAction(
        number=1,
        action=view["action"],
        actor=view["actor"],
        created_at=moment_of(view["createdAt"]),
        reason=view["reason"],
        run_id=view["run"],
        run_status=None if result is None else RunStatus(result),
        run_reason=view["resultReason"],
        new_revision=view["newRevision"],
        new_keys=view["newKeys"],
    )


def worker_of(view: View) -> WorkerBeat:
    """Return a living worker; since when a loop of it fails is not told."""
    started = moment_of(view["startedAt"])
    troubles = tuple(
        LoopTrouble(each["loop"], started, each["failures"], each["error"])
        for each in view["troubles"]
    )
    return WorkerBeat(view["id"], view["host"], view["pid"], view["version"], started, troubles)


def entry_of(view: View, cursor: Cursor | None = None) -> LogEntry:
    """Return an entry of a log, with its position if that is known."""
    return LogEntry(
        view["subscriptionId"],
        view["runId"],
        view["message"],
        view["level"],
        moment_of(view["createdAt"]),
        view["metadata"],
        view["id"],
        0 if cursor is None else cursor.transaction,
    )


@frozen_dataclass
class SeenVerdict(Verdict):
    """A verdict of which the run is known, but not the firing key."""

    run: RunId | None = None

    @property
    def run_id(self) -> RunId | None:
        """The run that the event started."""
        return self.run


def verdict_of(event: EventId, view: View) -> SeenVerdict:
    """Return what an event meant to a trigger."""
    return SeenVerdict(
        event,
        view["subscriptionId"],
        view["trigger"],
        VerdictOutcome(view["outcome"]),
        moment_of(view["createdAt"]),
        view["reason"],
        replay=view["replay"] or "",
        run=None if view["run"] is None else RunId(view["run"]),
    )
