"""FiringRef: names a firing, as the input of workflows. FiringRequest: a firing to be stored."""

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from enum import StrEnum

from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


class FiringCause(StrEnum):
    """What started the workflow of a firing."""

    ALARM = "alarm"
    """An alarm started it: a Temporal schedule."""
    WAKE_UP = "wake_up"
    """The overdue scanner started it, because no alarm did."""
    OUTBOX = "outbox"
    """The dispatcher started it, for a firing that was decided before."""
    LET_IN = "let_in"
    """A slot became free for a queued run."""
    RECOVERY = "recovery"
    """Temporal had lost the workflow that carried the run."""


@frozen_dataclass
class FiringRef:
    """One firing of one trigger; subscription, trigger and firing key name exactly one run."""

    subscription_id: str
    trigger: str
    firing_key: str
    due_at: str
    """RFC 3339, UTC: the nominal time."""
    workflow_id: str
    cause: FiringCause | None = None
    """Never None after construction; histories recorded without it are read by their ids."""
    subscription: str = field(default="", compare=False)
    """Its name when the workflow started, to be shown; empty if whoever started it did not know."""
    definition: str = field(default="", compare=False)
    """Likewise."""

    def __post_init__(self) -> None:
        """Derive the cause from the ids if the history has none."""
        if self.cause is None:
            object.__setattr__(self, "cause", self._cause_by_ids())

    @property
    def run_id(self) -> ids.RunId:
        """The id of this firing's run."""
        return ids.run_id(self.subscription_id, self.trigger, self.firing_key)

    @property
    def due(self) -> datetime:
        """The nominal time."""
        return datetime.fromisoformat(self.due_at)

    @property
    def is_undecided(self) -> bool:
        """Whether the clock started the workflow, so that its due time is not decided yet.

        Only a schedule of one trigger does that; alarms are shared now, and decide all due times.
        """
        return self.cause in {FiringCause.ALARM, FiringCause.WAKE_UP}

    @property
    def is_by_clock(self) -> bool:
        """Whether a cron or interval trigger was due; False if a person or an event caused it."""
        return self.firing_key == firing_key(self.due)

    def _cause_by_ids(self) -> FiringCause:
        owner = (self.subscription_id, self.trigger)
        if self.workflow_id.startswith(ids.wake_up_workflow_id(*owner, "")):
            return FiringCause.WAKE_UP
        if self.workflow_id.startswith(f"{ids.scheduled_workflow_id(*owner)}-"):
            return FiringCause.ALARM
        is_let_in = self.workflow_id == ids.let_in_workflow_id(*owner, self.firing_key)
        return FiringCause.LET_IN if is_let_in else FiringCause.OUTBOX


def firing_key(nominal: datetime) -> str:
    """Return the firing key of a nominal time: RFC 3339, UTC, whole seconds."""
    return nominal.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@frozen_dataclass
class Ringing:
    """A nominal time of an alarm, as the input of the workflow that decides what is due."""

    alarm_id: str
    due_at: str = ""
    """RFC 3339, UTC: the nominal time. Empty in the action of a Temporal schedule."""
    cause: FiringCause = FiringCause.ALARM

    @property
    def due(self) -> datetime:
        """The nominal time."""
        return datetime.fromisoformat(self.due_at)

    @property
    def key(self) -> str:
        """The firing key of that time."""
        return firing_key(self.due)


@frozen_dataclass
class FiringRequest:
    """A firing to be stored in the outbox; storing the same `firing_key` again has no effect."""

    subscription_id: ids.SubscriptionId
    trigger: str
    firing_key: str
    due_at: datetime
    payload: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def ref(self) -> FiringRef:
        """The same firing as the input of a workflow."""
        return FiringRef(
            self.subscription_id,
            self.trigger,
            self.firing_key,
            self.due_at.isoformat(),
            ids.workflow_id(self.subscription_id, self.trigger, self.firing_key),
            FiringCause.OUTBOX,
        )
