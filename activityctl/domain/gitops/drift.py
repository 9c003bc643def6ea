"""Drift: compares an alarm in Temporal with the wanted one; it does not repair it."""

from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.values.ids import AlarmId
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class StoredAlarm:
    """An alarm as Postgres has it; with `wanted` None it must not exist in Temporal."""

    id: AlarmId
    wanted: Alarm | None
    is_synced: bool = True
    """False while the reconciler still has to create or delete it."""


@frozen_dataclass
class ObservedAlarm:
    """An alarm as Temporal has it, as far as it was read."""

    id: AlarmId
    alarm: Alarm
    paused: bool
    altered: tuple[str, ...] = ()
    """Other parts that differ from what activityctl writes, besides timing and pause, as text."""


@frozen_dataclass
class Drift:
    """What others did to an alarm, and what repairs it, as participles (`paused`, `resumed`)."""

    found: tuple[str, ...]
    healed: tuple[str, ...]

    def message(self, trigger: str) -> str:
        """Return the log message for the owner of a trigger, for after the repair."""
        found, healed = " and ".join(self.found), " and ".join(self.healed)
        return f"schedule {trigger} was {found} outside activityctl; {healed}"


def drift_of(stored: StoredAlarm, observed: ObservedAlarm | None) -> Drift | None:
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
        case Alarm() as wanted, ObservedAlarm() as present:
            return _difference(wanted, present)
        case other:  # pragma: no cover
            raise AssertionError(other)


def _difference(wanted: Alarm, observed: ObservedAlarm) -> Drift | None:
    found, healed = [], []
    parts = ("timing",) if observed.alarm != wanted else ()
    if parts := (*parts, *observed.altered):
        found.append(f"changed ({', '.join(parts)})")
        healed.append("restored")
    if observed.paused:
        found.append("paused")
        healed.append("resumed")
    return Drift(tuple(found), tuple(healed)) if found else None
