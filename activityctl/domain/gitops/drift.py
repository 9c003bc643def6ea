"""Drift: how a schedule in Temporal differs from what is recorded; healing it is not here."""

from dataclasses import dataclass

from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.values.ids import ScheduleId, SubscriptionId


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """What Postgres says of a schedule; `wanted` None means that it shall not exist."""

    id: ScheduleId
    subscription_id: SubscriptionId
    trigger: str
    wanted: WantedSchedule | None
    paused: bool = False
    wanted_hash: str | None = None
    is_synced: bool = True
    """False while the reconciler has yet to carry out the latest wish."""


@dataclass(frozen=True, slots=True)
class ObservedSchedule:
    """What Temporal holds under an id, as far as it was looked at."""

    id: ScheduleId
    alarm: Alarm
    paused: bool
    altered: tuple[str, ...] = ()
    """What beside timing and pause is not as the product writes it, in words."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What was done to a schedule by others, and what undoes it, as participles."""

    found: tuple[str, ...]
    healed: tuple[str, ...]

    def message(self, trigger: str) -> str:
        """Return the sentence for people, to be said once it is healed."""
        found, healed = " and ".join(self.found), " and ".join(self.healed)
        return f"schedule {trigger} was {found} behind our back; {healed}"


def drift_of(recorded: StoredSchedule, observed: ObservedSchedule | None) -> Drift | None:
    """Compare; None when they agree, or while the reconciler is still at work on it."""
    if not recorded.is_synced:
        return None
    match recorded.wanted, observed:
        case None, None:
            return None
        case None, _:
            return Drift(("created",), ("deleted",))
        case _, None:
            return Drift(("deleted",), ("created again",))
        case WantedSchedule() as wanted, ObservedSchedule() as present:
            return _difference(wanted, present, paused=recorded.paused)
        case other:  # pragma: no cover
            raise AssertionError(other)


def _difference(
    wanted: WantedSchedule, observed: ObservedSchedule, *, paused: bool
) -> Drift | None:
    found, healed = [], []
    parts = ("timing",) if observed.alarm != wanted.alarm else ()
    if parts := (*parts, *observed.altered):
        found.append(f"altered ({', '.join(parts)})")
        healed.append("put back")
    if observed.paused != paused:
        found.append("resumed" if paused else "paused")
        healed.append("paused again" if paused else "resumed")
    return Drift(tuple(found), tuple(healed)) if found else None
