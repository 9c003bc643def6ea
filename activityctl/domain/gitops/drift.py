"""Drift: compares a schedule in Temporal with the stored one; it does not repair it."""

from dataclasses import dataclass

from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.values.ids import ScheduleId, SubscriptionId


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule as Postgres has it; with `wanted` None it must not exist in Temporal."""

    id: ScheduleId
    subscription_id: SubscriptionId
    trigger: str
    wanted: WantedSchedule | None
    paused: bool = False
    wanted_hash: str | None = None
    is_synced: bool = True
    """False while the reconciler still has to update Temporal."""


@dataclass(frozen=True, slots=True)
class ObservedSchedule:
    """A schedule as Temporal has it, as far as it was read."""

    id: ScheduleId
    alarm: Alarm
    paused: bool
    altered: tuple[str, ...] = ()
    """Other parts that differ from what activityctl writes, besides timing and pause, as text."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What others did to a schedule, and what repairs it, as participles (`paused`, `resumed`)."""

    found: tuple[str, ...]
    healed: tuple[str, ...]

    def message(self, trigger: str) -> str:
        """Return the log message for people, for after the repair."""
        found, healed = " and ".join(self.found), " and ".join(self.healed)
        return f"schedule {trigger} was {found} outside activityctl; {healed}"


def drift_of(stored: StoredSchedule, observed: ObservedSchedule | None) -> Drift | None:
    """Return the difference; None when there is none, or while the reconciler has not finished."""
    if not stored.is_synced:
        return None
    match stored.wanted, observed:
        case None, None:
            return None
        case None, _:
            return Drift(("created",), ("deleted",))
        case _, None:
            return Drift(("deleted",), ("created again",))
        case WantedSchedule() as wanted, ObservedSchedule() as present:
            return _difference(wanted, present, paused=stored.paused)
        case other:  # pragma: no cover
            raise AssertionError(other)


def _difference(
    wanted: WantedSchedule, observed: ObservedSchedule, *, paused: bool
) -> Drift | None:
    found, healed = [], []
    parts = ("timing",) if observed.alarm != wanted.alarm else ()
    if parts := (*parts, *observed.altered):
        found.append(f"changed ({', '.join(parts)})")
        healed.append("restored")
    if observed.paused != paused:
        found.append("resumed" if paused else "paused")
        healed.append("paused again" if paused else "resumed")
    return Drift(tuple(found), tuple(healed)) if found else None
