"""FiringRef: which firing a run answers; small enough to be a workflow's whole input."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from activityctl.domain.values import ids
from activityctl.domain.values.model import JsonValue


@dataclass(frozen=True, slots=True)
class FiringRef:
    """One due trigger of one subscription; the three together name exactly one run."""

    subscription_id: str
    trigger: str
    firing_key: str
    due_at: str
    """RFC 3339, UTC: the nominal time."""
    workflow_id: str

    @property
    def run_id(self) -> ids.RunId:
        """The id of the run that answers this firing."""
        return ids.run_id(self.subscription_id, self.trigger, self.firing_key)

    @property
    def due(self) -> datetime:
        """The nominal time."""
        return datetime.fromisoformat(self.due_at)

    @property
    def is_alarm(self) -> bool:
        """Whether its workflow was started by the clock, and has yet to ask what is due."""
        return ids.is_alarm(self.workflow_id, self.subscription_id, self.trigger)

    @property
    def is_wake_up(self) -> bool:
        """Whether the timekeeper started its workflow, because no schedule had."""
        return self.is_alarm and "/wake-up-" in self.workflow_id

    @property
    def is_let_in(self) -> bool:
        """Whether its workflow carries on a run that had to queue, by the revision it froze."""
        owner = (self.subscription_id, self.trigger)
        return self.workflow_id == ids.let_in_workflow_id(*owner, self.firing_key)

    @property
    def is_by_clock(self) -> bool:
        """Whether a cron or interval trigger was due, rather than a person or an event asking."""
        return self.firing_key == firing_key(self.due)


def firing_key(nominal: datetime) -> str:
    """Return the firing key of a nominal time: RFC 3339, UTC, whole seconds."""
    return nominal.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class ManualFiring:
    """A firing that a person asks for; `firing_key` makes a repeat harmless."""

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
        )
