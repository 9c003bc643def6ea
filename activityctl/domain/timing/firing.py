"""FiringRef: which firing a run answers; small enough to be a workflow's whole input."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue


class FiringCause(StrEnum):
    """What started the workflow that carries a firing."""

    ALARM = "alarm"
    """A Temporal schedule."""
    WAKE_UP = "wake_up"
    """The timekeeper, because no Temporal schedule had."""
    OUTBOX = "outbox"
    """The dispatcher, for a firing that was decided on before."""
    LET_IN = "let_in"
    """A place became free for a run that had to queue."""


@dataclass(frozen=True, slots=True)
class FiringRef:
    """One due trigger of one subscription; the three together name exactly one run."""

    subscription_id: str
    trigger: str
    firing_key: str
    due_at: str
    """RFC 3339, UTC: the nominal time."""
    workflow_id: str
    cause: FiringCause | None = None
    """Never None once built; a history that was recorded without it is read by its ids."""

    def __post_init__(self) -> None:
        """Read the cause off the workflow's id where the history has none."""
        if self.cause is None:
            object.__setattr__(self, "cause", self._cause_by_ids())

    @property
    def run_id(self) -> ids.RunId:
        """The id of the run that answers this firing."""
        return ids.run_id(self.subscription_id, self.trigger, self.firing_key)

    @property
    def due(self) -> datetime:
        """The nominal time."""
        return datetime.fromisoformat(self.due_at)

    @property
    def is_unsettled(self) -> bool:
        """Whether the clock started its workflow, which has yet to ask what is due."""
        return self.cause in {FiringCause.ALARM, FiringCause.WAKE_UP}

    @property
    def is_by_clock(self) -> bool:
        """Whether a cron or interval trigger was due, rather than a person or an event asking."""
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


@dataclass(frozen=True, slots=True)
class FiringRequest:
    """A firing to be put into the outbox; `firing_key` makes a repeat harmless."""

    subscription_id: ids.SubscriptionId
    trigger: str
    firing_key: str
    due_at: datetime
    payload: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def ref(self) -> FiringRef:
        """The same firing as a workflow's input."""
        return FiringRef(
            self.subscription_id,
            self.trigger,
            self.firing_key,
            self.due_at.isoformat(),
            ids.workflow_id(self.subscription_id, self.trigger, self.firing_key),
            FiringCause.OUTBOX,
        )
