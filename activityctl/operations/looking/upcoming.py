"""Upcoming: what a subscription's triggers are due next, live or as manifests would have it."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import WantedSchedule, wanted_schedules
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.timing.misfires import ScheduleProgress
from activityctl.domain.timing.preview import Occurrence, as_paused, occurrences, waiting_occurrence
from activityctl.domain.timing.trigger import Trigger, trigger_of
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.ids import subscription_id
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from activityctl.ports import Catalog, Outbox, ScheduleRegister

_MOMENT: Final = timedelta(microseconds=1)
MOST_TRIGGERS: Final = 10_000
_MOST_WAITING: Final = 10_000


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Which nominal times to show: at most `limit` from `first` to `last`, both included.

    What is due before `first` and waits to start then or later is among them.
    """

    first: datetime
    last: datetime | None
    limit: int
    trigger: str | None = None
    """The one trigger to show; None for all."""

    def has(self, one: Occurrence) -> bool:
        """Tell whether it shows that firing, which waits."""
        is_late_enough = one.fires_at is not None and one.fires_at >= self.first
        is_early_enough = self.last is None or one.due_at <= self.last
        return is_late_enough and is_early_enough and self.trigger in {None, one.trigger}


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What one subscription is due, and what there is to say about it as a whole."""

    subscription: str
    occurrences: tuple[Occurrence, ...]
    notes: tuple[str, ...] = ()
    is_cut: bool = False
    """Whether there are more than were asked for."""


@dataclass(frozen=True, slots=True)
class _Timing:
    """One subscription's triggers that follow the clock, and how they stand."""

    name: str
    triggers: Mapping[str, Trigger]
    progress: Mapping[str, ScheduleProgress]
    is_paused: bool = False


async def upcoming(
    catalog: Catalog,
    register: ScheduleRegister,
    outbox: Outbox,
    reference: str,
    span: TimeRange,
    now: datetime,
) -> Upcoming:
    """Return what fires of a live subscription, with what waits to start.

    NotFoundError, ConflictError as it is found, NotFoundError when it lacks the trigger.
    """
    owner = await catalog.find_subscription(reference)
    (timing,) = _of_trigger([await _live_timing(register, owner, now)], span.trigger)
    calendars = await catalog.calendars()
    waiting = [
        waiting_occurrence(
            (owner.id, one.trigger),
            timing.triggers.get(one.trigger),
            (one.due_at, one.fires_at),
            calendars,
        )
        for one in await outbox.waiting_of(owner.id, _MOST_WAITING)
    ]
    return _upcoming(timing, span, calendars, waiting)


def upcoming_of_files(
    manifests: ManifestSet, name: str | None, span: TimeRange, now: datetime
) -> list[Upcoming]:
    """Return what would fire of the files' subscriptions, or of the one named.

    NotFoundError when the files have no such subscription, or none with the trigger asked for;
    InvalidInputError when the one named uses a definition that they lack; of the others that
    is a note.
    """
    if name is not None and name not in manifests.subscriptions:
        raise NotFoundError("subscription", name, hint="name one that is in these files")
    names = sorted(manifests.subscriptions) if name is None else [name]
    calendars = {key: one.days for key, one in manifests.calendars.items()}
    timings, lacking = [], []
    for one in names:
        activity = manifests.subscriptions[one].spec.activity
        if activity in manifests.definitions:
            timings.append(_timing_of_files(manifests, one, now))
            continue
        lack = f'subscription "{one}" uses ActivityDefinition "{activity}", which these files lack'
        if name is not None:
            raise InvalidInputError(lack, hint="name the definition's file with -f as well")
        lacking.append(Upcoming(one, (), (lack,)))
    wanted = _of_trigger(timings, span.trigger)
    return [*lacking, *(_upcoming(one, span, calendars) for one in wanted)]


def merge_upcoming(
    found: Sequence[Upcoming], limit: int
) -> tuple[list[tuple[str, Occurrence]], bool]:
    """Return the earliest of all, each with its subscription, and whether there are more."""
    each = [(one.subscription, due) for one in found for due in one.occurrences]
    each.sort(key=lambda pair: (pair[1].due_at, pair[0], pair[1].trigger))
    is_cut = len(each) > limit or any(one.is_cut for one in found)
    return each[:limit], is_cut


async def _live_timing(register: ScheduleRegister, owner: Subscription, now: datetime) -> _Timing:
    if owner.status is SubscriptionStatus.DELETED:
        raise ConflictError(
            f'subscription "{owner.name}" was deleted', hint="apply its manifest again"
        )
    rows = await register.schedules(Selection(subscription_id=owner.id, limit=MOST_TRIGGERS))
    return _Timing(
        owner.name,
        triggers_of(row.wanted for row in rows),
        {row.wanted.trigger: ScheduleProgress(now, row.fired) for row in rows},
        is_paused=owner.status is SubscriptionStatus.PAUSED,
    )


def _timing_of_files(manifests: ManifestSet, name: str, now: datetime) -> _Timing:
    spec = manifests.subscriptions[name].spec
    definition = manifests.definitions[spec.activity].spec
    triggers = triggers_of(wanted_schedules(subscription_id(name), definition, dict(spec.triggers)))
    progress = dict.fromkeys(triggers, ScheduleProgress(now))
    return _Timing(name, triggers, progress, is_paused=spec.paused is True)


def triggers_of(schedules: Iterable[WantedSchedule]) -> dict[str, Trigger]:
    """Return the triggers that follow the clock, by name."""
    return {one.trigger: trigger_of(one.kind, one.body) for one in schedules}


def _of_trigger(timings: Sequence[_Timing], trigger: str | None) -> list[_Timing]:
    """Return those that have the trigger, with it alone."""
    if trigger is None:
        return list(timings)
    found = [
        replace(one, triggers={trigger: one.triggers[trigger]})
        for one in timings
        if trigger in one.triggers
    ]
    if not found:
        known = ", ".join(sorted({name for one in timings for name in one.triggers}))
        hint = f"cron and interval triggers here: {known or 'none'}"
        raise NotFoundError("trigger", trigger, hint=hint)
    return found


def _upcoming(
    timing: _Timing, span: TimeRange, calendars: DaysByCalendar, waiting: Iterable[Occurrence] = ()
) -> Upcoming:
    decided = {(one.trigger, one.due_at): one for one in waiting}
    due = _due(timing, span, calendars)
    others = (one for one in due if (one.trigger, one.due_at) not in decided)
    told = [_if_paused(one, timing) for one in decided.values() if span.has(one)]
    each = heapq.merge(told, others, key=lambda one: (one.due_at, one.trigger))
    found = tuple(islice(each, span.limit + 1))
    notes = tuple(_notes(timing, calendars))
    return Upcoming(timing.name, found[: span.limit], notes, is_cut=len(found) > span.limit)


def _if_paused(one: Occurrence, timing: _Timing) -> Occurrence:
    """Say what becomes of a firing that waits, should its subscription stay paused."""
    if not timing.is_paused:
        return one
    return replace(one, note=f"{one.note}; missed if still paused then")


def _due(timing: _Timing, span: TimeRange, calendars: DaysByCalendar) -> Iterator[Occurrence]:
    owner = subscription_id(timing.name)
    found: Iterator[Occurrence] = occurrences(
        owner, timing.triggers, span.first - _MOMENT, calendars, timing.progress
    )
    if span.last is not None:
        last = span.last
        found = takewhile(lambda one: one.due_at <= last, found)
    if timing.is_paused:
        found = map(as_paused, found)
    return found


def _notes(timing: _Timing, calendars: DaysByCalendar) -> Iterator[str]:
    said = f'subscription "{timing.name}"'
    if not timing.triggers:
        yield f"{said} has no cron or interval trigger: nothing is due by itself"
    elif timing.is_paused:
        yield f"{said} is paused: nothing fires before activityctl resume {timing.name}"
    for name, trigger in timing.triggers.items():
        limit = trigger.max_firings
        if limit is not None and timing.progress[name].fired >= limit:
            yield f"{said}: {name} fires no more: maxFirings {limit} reached"
        for calendar in trigger.exclude.calendars if trigger.exclude else ():
            if calendar not in calendars:
                yield f"{said}: {name} excludes calendar {calendar}, unknown here and ignored"
