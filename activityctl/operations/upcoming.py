"""Upcoming: what a subscription's triggers are due next, live or as manifests would have it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final

from activityctl.domain.ids import subscription_id
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.occurrence import Occurrence, occurrences, suspended
from activityctl.domain.plan import WantedSchedule, wanted_schedules
from activityctl.domain.selection import Selection
from activityctl.domain.settlement import Progress
from activityctl.domain.subscription import Subscription, SubscriptionStatus
from activityctl.domain.trigger import Trigger, trigger_of
from activityctl.domain.window import DaysByCalendar
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from activityctl.ports import Catalog, ScheduleRegister

"""Kinds of triggers that are due by themselves."""
_MOMENT: Final = timedelta(microseconds=1)
MOST_TRIGGERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """Which nominal times to show: at most `limit` from `first` to `last`, both included."""

    first: datetime
    last: datetime | None
    limit: int


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What one subscription is due, and what there is to say about it as a whole."""

    subscription: str
    occurrences: tuple[Occurrence, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Timing:
    """One subscription's triggers that follow the clock, and how they stand."""

    name: str
    triggers: Mapping[str, Trigger]
    progress: Mapping[str, Progress]
    is_paused: bool = False


async def upcoming(
    catalog: Catalog, register: ScheduleRegister, reference: str, span: Span, now: datetime
) -> Upcoming:
    """Return what fires of a live subscription; NotFoundError, ConflictError as it is found."""
    owner = await catalog.find_subscription(reference)
    timing = await _live_timing(register, owner, now)
    return _upcoming(timing, owner.id, span, await catalog.calendars())


def upcoming_of_files(
    manifests: ManifestSet, name: str | None, span: Span, now: datetime
) -> list[Upcoming]:
    """Return what would fire of the files' subscriptions, or of the one named.

    NotFoundError when the files have no such subscription, InvalidInputError when the one
    named uses a definition that they lack; of the others that is a note.
    """
    if name is not None and name not in manifests.subscriptions:
        raise NotFoundError("subscription", name, hint="name one that is in these files")
    names = sorted(manifests.subscriptions) if name is None else [name]
    calendars = {key: one.days for key, one in manifests.calendars.items()}
    found = []
    for one in names:
        activity = manifests.subscriptions[one].spec.activity
        if activity in manifests.definitions:
            timing = _timing_of_files(manifests, one, now)
            found.append(_upcoming(timing, subscription_id(one), span, calendars))
            continue
        lack = f'subscription "{one}" uses ActivityDefinition "{activity}", which these files lack'
        if name is not None:
            raise InvalidInputError(lack, hint="name the definition's file with -f as well")
        found.append(Upcoming(one, (), (lack,)))
    return found


def merged(found: Iterable[Upcoming], limit: int) -> list[tuple[str, Occurrence]]:
    """Return the occurrences of all, each with its subscription, the earliest first."""
    each = [(one.subscription, due) for one in found for due in one.occurrences]
    each.sort(key=lambda pair: (pair[1].due_at, pair[0], pair[1].trigger))
    return each[:limit]


async def _live_timing(register: ScheduleRegister, owner: Subscription, now: datetime) -> _Timing:
    if owner.status is SubscriptionStatus.DELETED:
        raise ConflictError(
            f'subscription "{owner.name}" was deleted', hint="apply its manifest again"
        )
    rows = await register.schedules(Selection(subscription_id=owner.id, limit=MOST_TRIGGERS))
    return _Timing(
        owner.name,
        triggers_of(row.wanted for row in rows),
        {row.wanted.trigger: Progress(now, row.fired) for row in rows},
        is_paused=owner.status is SubscriptionStatus.PAUSED,
    )


def _timing_of_files(manifests: ManifestSet, name: str, now: datetime) -> _Timing:
    spec = manifests.subscriptions[name].spec
    definition = manifests.definitions[spec.activity].spec
    triggers = triggers_of(wanted_schedules(subscription_id(name), definition, dict(spec.triggers)))
    progress = dict.fromkeys(triggers, Progress(now))
    return _Timing(name, triggers, progress, is_paused=spec.paused is True)


def triggers_of(schedules: Iterable[WantedSchedule]) -> dict[str, Trigger]:
    """Return the triggers that follow the clock, by name."""
    return {one.trigger: trigger_of(one.kind, one.body) for one in schedules}


def _upcoming(timing: _Timing, owner: str, span: Span, calendars: DaysByCalendar) -> Upcoming:
    found: Iterator[Occurrence] = occurrences(
        owner, timing.triggers, span.first - _MOMENT, calendars, timing.progress
    )
    if span.last is not None:
        last = span.last
        found = takewhile(lambda one: one.due_at <= last, found)
    if timing.is_paused:
        found = map(suspended, found)
    return Upcoming(timing.name, tuple(islice(found, span.limit)), tuple(_notes(timing)))


def _notes(timing: _Timing) -> Iterator[str]:
    said = f'subscription "{timing.name}"'
    if not timing.triggers:
        yield f"{said} has no cron or interval trigger: nothing is due by itself"
    elif timing.is_paused:
        yield f"{said} is paused: nothing fires before activityctl resume {timing.name}"
    for name, trigger in timing.triggers.items():
        limit = trigger.max_firings
        if limit is not None and timing.progress[name].fired >= limit:
            yield f"{said}: {name} fires no more: maxFirings {limit} reached"
