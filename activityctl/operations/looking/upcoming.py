"""Compute the next firings of a subscription, live or as in manifests that are not applied."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import WantedSchedule, wanted_schedules
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.routing.listeners import chain_triggers
from activityctl.domain.timing.misfires import ScheduleProgress
from activityctl.domain.timing.preview import Occurrence, as_paused, occurrences, waiting_occurrence
from activityctl.domain.timing.trigger import Trigger, trigger_of
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.ids import SubscriptionId, subscription_id
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.chains import chain_notes, notes_of_files
from activityctl.ports import Catalog, ChainStore, Outbox, ScheduleRegister

_MOMENT: Final = timedelta(microseconds=1)
MOST_TRIGGERS: Final = 10_000
_MOST_WAITING: Final = 10_000


@frozen_dataclass
class TimeRange:
    """Which nominal times to show: at most `limit` from `first` to `last`, both included.

    A firing that was due before `first` is included if it waits to start at `first` or later.
    """

    first: datetime
    last: datetime | None
    limit: int
    trigger: str | None = None
    """The only trigger to show; None for all."""

    def has(self, waiting: Occurrence) -> bool:
        """Return whether to show a firing that waits to start."""
        is_late_enough = waiting.fires_at is not None and waiting.fires_at >= self.first
        is_early_enough = self.last is None or waiting.due_at <= self.last
        return is_late_enough and is_early_enough and self.trigger in {None, waiting.trigger}


@frozen_dataclass
class Upcoming:
    """The next firings of one subscription, with notes about the subscription."""

    subscription: str
    occurrences: tuple[Occurrence, ...]
    notes: tuple[str, ...] = ()
    is_cut: bool = False
    """Whether there are more firings than the limit."""


@frozen_dataclass
class _Timing:
    """The cron and interval triggers of one subscription, with their progress."""

    owner: SubscriptionId
    name: str
    triggers: Mapping[str, Trigger]
    progress: Mapping[str, ScheduleProgress]
    is_paused: bool = False
    chain_notes: tuple[str, ...] = ()
    """What is to be said of its chain triggers."""


async def upcoming(
    catalog: Catalog,
    register: ScheduleRegister,
    outbox: Outbox,
    reference: str,
    time_range: TimeRange,
    now: datetime,
    *,
    chains: ChainStore | None = None,
) -> Upcoming:
    """Return the next firings of a live subscription, with those that wait to start.

    NotFoundError for an unknown subscription or trigger, ConflictError for an ambiguous
    reference or a deleted subscription.
    """
    owner = await catalog.find_subscription(reference)
    found = await upcoming_of(register, outbox, owner, catalog.calendars, time_range, now)
    if chains is None:
        return found
    notes = [_of(owner.name, note) for note in await chain_notes(chains, owner.id)]
    return replace(found, notes=(*notes, *found.notes))


async def upcoming_of(
    register: ScheduleRegister,
    outbox: Outbox,
    owner: Subscription,
    read_calendars: Callable[[], Awaitable[DaysByCalendar]],
    time_range: TimeRange,
    now: datetime,
) -> Upcoming:
    """Return the next firings of a subscription that was read; raises as `upcoming`."""
    live, calendars, firings = await asyncio.gather(
        _live_timing(register, owner, now),
        read_calendars(),
        outbox.waiting_of(owner.id, _MOST_WAITING),
    )
    (timing,) = _of_trigger([live], time_range.trigger)
    waiting = [
        waiting_occurrence(
            (owner.id, firing.trigger),
            timing.triggers.get(firing.trigger),
            (firing.due_at, firing.fires_at),
            calendars,
        )
        for firing in firings
    ]
    return _upcoming(timing, time_range, calendars, waiting)


def upcoming_of_files(
    manifests: ManifestSet, name: str | None, time_range: TimeRange, now: datetime
) -> list[Upcoming]:
    """Return the next firings of all subscriptions in the files, or of the named one.

    NotFoundError when the files have no such subscription, or none with that trigger.
    InvalidInputError when the named subscription uses a definition that the files do not have;
    without a name, such a subscription gets a note instead.
    """
    if name is not None and name not in manifests.subscriptions:
        raise NotFoundError("subscription", name, hint="name a subscription of these files")
    names = sorted(manifests.subscriptions) if name is None else [name]
    calendars = {key: calendar.days for key, calendar in manifests.calendars.items()}
    timings, incomplete = [], []
    for subscription in names:
        activity = manifests.subscriptions[subscription].spec.activity
        if activity in manifests.definitions:
            timings.append(_timing_of_files(manifests, subscription, now))
            continue
        reason = (
            f'subscription "{subscription}" uses ActivityDefinition "{activity}", '
            "which is not in these files"
        )
        if name is not None:
            raise InvalidInputError(reason, hint="add the definition's file with -f")
        incomplete.append(Upcoming(subscription, (), (reason,)))
    wanted = _of_trigger(timings, time_range.trigger)
    return [*incomplete, *(_upcoming(timing, time_range, calendars) for timing in wanted)]


def merge_upcoming(
    found: Sequence[Upcoming], limit: int
) -> tuple[list[tuple[str, Occurrence]], bool]:
    """Return the earliest firings, each with its subscription, and whether there are more."""
    pairs = [(upcoming.subscription, due) for upcoming in found for due in upcoming.occurrences]
    pairs.sort(key=lambda pair: (pair[1].due_at, pair[0], pair[1].trigger))
    is_cut = len(pairs) > limit or any(upcoming.is_cut for upcoming in found)
    return pairs[:limit], is_cut


async def _live_timing(register: ScheduleRegister, owner: Subscription, now: datetime) -> _Timing:
    if owner.status is SubscriptionStatus.DELETED:
        raise ConflictError(
            f'subscription "{owner.name}" was deleted', hint="apply its manifest again"
        )
    rows = await register.schedules(Selection(subscription_id=owner.id, limit=MOST_TRIGGERS))
    return _Timing(
        owner.id,
        owner.name,
        triggers_of(row.wanted for row in rows),
        {row.wanted.trigger: ScheduleProgress(now, row.fired) for row in rows},
        is_paused=owner.status is SubscriptionStatus.PAUSED,
    )


def _timing_of_files(manifests: ManifestSet, name: str, now: datetime) -> _Timing:
    spec = manifests.subscriptions[name].spec
    definition = manifests.definitions[spec.activity].spec
    owner = subscription_id(name)  # a file does not know the id of what it renames
    triggers = triggers_of(wanted_schedules(owner, definition, dict(spec.triggers)))
    progress = dict.fromkeys(triggers, ScheduleProgress(now))
    on_chain = chain_triggers(owner, definition, dict(spec.triggers))
    notes = notes_of_files((trigger, each) for (_, trigger), each in on_chain.items())
    return _Timing(
        owner,
        name,
        triggers,
        progress,
        is_paused=spec.paused is True,
        chain_notes=tuple(notes),
    )


def triggers_of(schedules: Iterable[WantedSchedule]) -> dict[str, Trigger]:
    """Return the cron and interval triggers of the schedules, by name."""
    return {schedule.trigger: trigger_of(schedule.kind, schedule.body) for schedule in schedules}


def _of_trigger(timings: Sequence[_Timing], trigger: str | None) -> list[_Timing]:
    """Return the timings that have the trigger, with only that trigger.

    Returns all unchanged when the trigger is None; NotFoundError when none has it.
    """
    if trigger is None:
        return list(timings)
    found = [
        replace(timing, triggers={trigger: timing.triggers[trigger]})
        for timing in timings
        if trigger in timing.triggers
    ]
    if not found:
        known = ", ".join(sorted({name for timing in timings for name in timing.triggers}))
        hint = f"cron and interval triggers: {known or 'none'}"
        raise NotFoundError("trigger", trigger, hint=hint)
    return found


def _upcoming(
    timing: _Timing,
    time_range: TimeRange,
    calendars: DaysByCalendar,
    waiting: Iterable[Occurrence] = (),
) -> Upcoming:
    decided = {(firing.trigger, firing.due_at): firing for firing in waiting}
    due = _due(timing, time_range, calendars)
    others = (firing for firing in due if (firing.trigger, firing.due_at) not in decided)
    shown = [
        _noted_if_paused(firing, timing) for firing in decided.values() if time_range.has(firing)
    ]
    merged = heapq.merge(shown, others, key=lambda firing: (firing.due_at, firing.trigger))
    found = tuple(islice(merged, time_range.limit + 1))
    notes = tuple(_notes(timing, calendars))
    return Upcoming(
        timing.name, found[: time_range.limit], notes, is_cut=len(found) > time_range.limit
    )


def _noted_if_paused(waiting: Occurrence, timing: _Timing) -> Occurrence:
    """Return the waiting firing; add a note if its subscription is paused."""
    if not timing.is_paused:
        return waiting
    return replace(waiting, note=f"{waiting.note}; missed if still paused at that time")


def _due(timing: _Timing, time_range: TimeRange, calendars: DaysByCalendar) -> Iterator[Occurrence]:
    found: Iterator[Occurrence] = occurrences(
        timing.owner, timing.triggers, time_range.first - _MOMENT, calendars, timing.progress
    )
    if time_range.last is not None:
        last = time_range.last
        found = takewhile(lambda firing: firing.due_at <= last, found)
    if timing.is_paused:
        found = map(as_paused, found)
    return found


def _notes(timing: _Timing, calendars: DaysByCalendar) -> Iterator[str]:
    name = f'subscription "{timing.name}"'
    yield from (_of(timing.name, note) for note in timing.chain_notes)
    if not timing.triggers:
        yield f"{name} has no cron or interval trigger"
    elif timing.is_paused:
        yield f"{name} is paused: nothing fires until you run activityctl resume {timing.name}"
    for key, trigger in timing.triggers.items():
        limit = trigger.max_firings
        if limit is not None and timing.progress[key].fired >= limit:
            yield f"{name}: trigger {key} does not fire any more: maxFirings {limit} reached"
        for calendar in trigger.exclude.calendars if trigger.exclude else ():
            if calendar not in calendars:
                yield (
                    f"{name}: trigger {key} excludes calendar {calendar}, "
                    "which was not found and is ignored"
                )


def _of(subscription: str, note: str) -> str:
    return f'subscription "{subscription}": {note}'
