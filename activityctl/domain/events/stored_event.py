"""Stored events, the outcome of emitting an event, and the verdicts of triggers."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from activityctl.domain.values.ids import EventId, RunId, run_id
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


class EmitOutcome(StrEnum):
    """The outcome of emitting one event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """An event with the same source, id and content is already stored."""
    CONFLICT = "conflict"
    """An event with the same source and id but other content is already stored; it is kept."""
    INVALID = "invalid"


@frozen_dataclass
class ArrivedEvent:
    """An event of the archive."""

    id: EventId
    position: int
    """Numbers events in the order of arrival."""
    document: Mapping[str, JsonValue]
    """The structured JSON form of CloudEvents."""
    arrived_at: datetime
    routed_at: datetime | None = None
    """When it was routed; None until then."""

    @property
    def status(self) -> str:
        """One of EVENT_STATUSES."""
        return "waiting" if self.routed_at is None else "routed"


EVENT_STATUSES: Final = ("waiting", "routed")
"""`waiting` until an event is routed, `routed` after that."""


class VerdictOutcome(StrEnum):
    """What an event meant to a trigger; a trigger that the event does not match has no verdict."""

    WOKEN = "woken"
    """The event led to a firing."""
    GATHERED = "gathered"
    """The event is kept, because the trigger waits for more events."""
    DROPPED = "dropped"
    """The event matched a trigger that gathers events, but led to no firing (see the reason)."""
    SKIPPED = "skipped"
    """The event matched, but exclusions or the window forbid a start."""
    PAUSED = "paused"
    """The event matched, but the subscription was paused."""
    ERROR = "error"
    """The filter or key could not be evaluated, or the stored trigger cannot be read."""


@frozen_dataclass
class Verdict:
    """What an event meant to one trigger, and the firing that the event led to."""

    event_id: EventId
    subscription_id: str
    trigger: str
    outcome: VerdictOutcome
    created_at: datetime
    reason: str | None = None
    firing_key: str | None = None
    replay: str = ""
    """The name of the replay that routed the event again; empty for the first routing."""

    @property
    def run_id(self) -> RunId | None:
        """The id of the run of its firing; None without a firing."""
        if self.firing_key is None:
            return None
        return run_id(self.subscription_id, self.trigger, self.firing_key)
