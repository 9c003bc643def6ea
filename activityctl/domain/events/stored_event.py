"""Events that have come: what became of each when it came, and what it meant to whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from activityctl.domain.values.ids import EventId, RunId, run_id
from activityctl.domain.values.model import JsonValue


class EmitOutcome(StrEnum):
    """What became of an event that was handed in."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """The same source, id and content came before."""
    CONFLICT = "conflict"
    """The same source and id came before with other content, which stays."""
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class ArrivedEvent:
    """An event of the archive; events are numbered by `place` in the order of arrival."""

    id: EventId
    position: int
    document: Mapping[str, JsonValue]
    """The structured JSON form of CloudEvents."""
    arrived_at: datetime
    routed_at: datetime | None = None
    """When it was found out whom it wakes; None until then."""

    @property
    def status(self) -> str:
        """One of EVENT_STATUSES."""
        return "waiting" if self.routed_at is None else "routed"


EVENT_STATUSES: Final = ("waiting", "routed")
"""Whether it is found out whom an event wakes."""


class VerdictOutcome(StrEnum):
    """What an event meant to a trigger; those that it plainly does not concern have no verdict."""

    WOKEN = "woken"
    """A firing was decided on."""
    GATHERED = "gathered"
    """It was kept for a trigger that waits for more."""
    DROPPED = "dropped"
    """It matched such a trigger, but led to no firing: what it needs did not come in time."""
    SKIPPED = "skipped"
    """It matched, but exclusions or the window forbid a start."""
    PAUSED = "paused"
    """It matched, but the subscription was paused."""
    ERROR = "error"
    """The filter could not be evaluated, or the trigger as stored not be read: no match."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an event meant to one trigger, and the firing that it led to."""

    event_id: EventId
    subscription_id: str
    trigger: str
    outcome: VerdictOutcome
    created_at: datetime
    reason: str | None = None
    firing_key: str | None = None
    replay: str = ""
    """The replay that fed it again; empty for its arrival."""

    @property
    def run_id(self) -> RunId | None:
        """The id of the run that its firing leads to; None without a firing."""
        if self.firing_key is None:
            return None
        return run_id(self.subscription_id, self.trigger, self.firing_key)
