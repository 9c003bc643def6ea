"""Backfill: run past nominal times after all, once each, a few at a time, and follow them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.backfill import (
    Backfill,
    BackfillChoice,
    BackfillProgress,
    PastTimes,
    choose,
    nominals_between,
)
from activityctl.domain.timing.trigger import Trigger
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError, UsageError, WaitTimeoutError
from activityctl.operations.looking.upcoming import MOST_TRIGGERS, triggers_of
from activityctl.ports import Backfills, Catalog, ScheduleRegister

_FIRST_POLL: Final = 0.1
_LONGEST_POLL: Final = 1.0


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What a person asks for; the stretch of time includes both ends."""

    trigger: str | None
    """None: the only one that follows the clock."""
    first: datetime
    last: datetime
    only_missed: bool
    max_parallel: int


@dataclass(frozen=True, slots=True)
class BackfillPreview:
    """What an order comes to as things stand; nothing is written yet."""

    backfill: Backfill
    trigger: Trigger
    calendars: DaysByCalendar
    only_missed: bool
    nominals: tuple[datetime, ...]
    choice: BackfillChoice
    existed_from: datetime
    """When the subscription was first applied."""

    @property
    def before_it_existed(self) -> int:
        """How many of the times to run lie before the subscription existed."""
        return sum(nominal < self.existed_from for nominal in self.choice.to_run)


async def preview_backfill(
    catalog: Catalog,
    register: ScheduleRegister,
    backfills: Backfills,
    owner: Subscription,
    order: BackfillRequest,
) -> BackfillPreview:
    """Find the nominal times to run. Of a paused subscription too: a person asked.

    NotFoundError for an unknown trigger, UsageError when it must be named, ConflictError for a
    deleted subscription, RefusedError for too many firings.
    """
    if owner.status is SubscriptionStatus.DELETED:
        raise ConflictError(
            f'subscription "{owner.name}" was deleted', hint="apply its manifest again"
        )
    rows = await register.schedules(Selection(subscription_id=owner.id, limit=MOST_TRIGGERS))
    triggers = triggers_of(row.wanted for row in rows)
    name = _named(order.trigger, triggers, owner)
    backfill = Backfill(owner.id, name, order.first, order.last, order.max_parallel)
    nominals = nominals_between(triggers[name], order.first, order.last)
    found = BackfillPreview(
        backfill,
        triggers[name],
        await catalog.calendars(),
        order.only_missed,
        nominals,
        BackfillChoice((), ()),
        owner.created_at,
    )
    past = await backfills.past(owner.id, name, order.first, order.last)
    return replace(found, choice=_chosen(found, past))


@dataclass(frozen=True, slots=True)
class StartedBackfill:
    """What came of recording a backfill."""

    backfill: Backfill
    choice: BackfillChoice
    added: int
    """How many firings are new."""
    followed: frozenset[datetime]
    """The times chosen, and those that an earlier backfill is still at work on."""


async def start_backfill(backfills: Backfills, found: BackfillPreview) -> StartedBackfill:
    """Record the backfill, chosen anew.

    Once this returns its firings cannot be lost; a repeat adds nothing.
    """
    wanted = found.backfill
    async with backfills.locked(
        wanted.subscription_id, wanted.trigger, wanted.first, wanted.last
    ) as locked:
        choice = _chosen(found, locked.past)
        added = await locked.hold(wanted, choice.to_run) if choice.to_run else 0
        followed = frozenset(choice.to_run) | locked.past.under_way
    return StartedBackfill(wanted, choice, added, followed & frozenset(found.nominals))


async def progress_of(backfills: Backfills, recorded: StartedBackfill) -> BackfillProgress:
    """Return how far the firings have come that this backfill, or its like, has asked for.

    Those that another backfill ran before it was recorded are not counted.
    """
    return await backfills.progress(recorded.backfill, recorded.followed)


async def follow(
    backfills: Backfills,
    recorded: StartedBackfill,
    *,
    timeout_seconds: float,
    on_progress: Callable[[BackfillProgress], None],
) -> BackfillProgress:
    """Return how all has ended, telling meanwhile; WaitTimeoutError when time is up."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + timeout_seconds, _FIRST_POLL
    while True:
        progress = await progress_of(backfills, recorded)
        on_progress(progress)
        if progress.is_over:
            return progress
        if loop.time() >= deadline:
            left = progress.total - progress.ended
            raise WaitTimeoutError(
                f"{left:,} of {count_noun(progress.total, 'firing')} "
                f"{'has' if left == 1 else 'have'} not ended after {timeout_seconds:g}s; "
                "the worker goes on with it",
                hint="repeat the command to follow them",
            )
        await asyncio.sleep(min(pause, max(deadline - loop.time(), 0.0)))
        pause = min(pause * 1.5, _LONGEST_POLL)


def _chosen(found: BackfillPreview, past: PastTimes) -> BackfillChoice:
    return choose(
        found.trigger, found.nominals, past, found.calendars, only_missed=found.only_missed
    )


def _named(name: str | None, triggers: Mapping[str, Trigger], owner: Subscription) -> str:
    listed = ", ".join(sorted(triggers))
    if not triggers:
        raise UsageError(
            f'subscription "{owner.name}" has no cron or interval trigger',
            hint=f"activityctl trigger {owner.name}",
        )
    if name is None and len(triggers) > 1:
        raise UsageError(
            f'subscription "{owner.name}" has several triggers that follow the clock: {listed}',
            hint="choose one with --trigger",
        )
    if name is not None and name not in triggers:
        raise NotFoundError("trigger", name, hint=f"those that follow the clock: {listed}")
    return name or next(iter(triggers))
