"""Run nominal times of the past, once each and a few at a time, and follow their progress."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
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
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.upcoming import MOST_TRIGGERS, triggers_of
from activityctl.ports import Backfills, Catalog, ScheduleRegister

_FIRST_POLL: Final = 0.1
_LONGEST_POLL: Final = 1.0


@frozen_dataclass
class BackfillRequest:
    """What the user asks for; `first` and `last` are included."""

    trigger: str | None
    """None for the only cron or interval trigger."""
    first: datetime
    last: datetime
    only_missed: bool
    max_parallel: int


@frozen_dataclass
class BackfillPreview:
    """What a request would start now; nothing is stored yet."""

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
        """How many of the times to run are before the subscription existed."""
        return sum(nominal < self.existed_from for nominal in self.choice.to_run)


async def preview_backfill(
    catalog: Catalog,
    register: ScheduleRegister,
    backfills: Backfills,
    owner: Subscription,
    request: BackfillRequest,
) -> BackfillPreview:
    """Find the nominal times to run; also for a paused subscription, because the user asked.

    NotFoundError for an unknown trigger, UsageError when the request must name one, ConflictError
    for a deleted subscription, RefusedError for too many firings.
    """
    if owner.status is SubscriptionStatus.DELETED:
        raise ConflictError(
            f'subscription "{owner.name}" was deleted', hint="apply its manifest again"
        )
    rows = await register.schedules(Selection(subscription_id=owner.id, limit=MOST_TRIGGERS))
    triggers = triggers_of(row.wanted for row in rows)
    name = _trigger_name(request.trigger, triggers, owner)
    backfill = Backfill(owner.id, name, request.first, request.last, request.max_parallel)
    # In a thread: a long time range has so many times that others would wait for them.
    nominals = await asyncio.to_thread(
        nominals_between, triggers[name], request.first, request.last
    )
    preview = BackfillPreview(
        backfill,
        triggers[name],
        await catalog.calendars(),
        request.only_missed,
        nominals,
        BackfillChoice((), ()),
        owner.created_at,
    )
    past = await backfills.past(owner.id, name, request.first, request.last)
    return replace(preview, choice=await _chosen(preview, past))


@frozen_dataclass
class StartedBackfill:
    """A stored backfill, and which times it covers."""

    backfill: Backfill
    choice: BackfillChoice
    added: int
    """How many firings are new, so that no earlier backfill had added them."""
    followed: frozenset[datetime]
    """The chosen times, and those that an earlier backfill has not finished."""


async def start_backfill(backfills: Backfills, preview: BackfillPreview) -> StartedBackfill:
    """Store the backfill; the times to run are chosen again, under a lock.

    Once this returns, its firings cannot be lost; a repeat adds nothing.
    """
    wanted = preview.backfill
    async with backfills.locked(
        wanted.subscription_id, wanted.trigger, wanted.first, wanted.last
    ) as locked:
        choice = await _chosen(preview, locked.past)
        added = await locked.hold(wanted, choice.to_run) if choice.to_run else 0
        followed = frozenset(choice.to_run) | locked.past.under_way
    return StartedBackfill(wanted, choice, added, followed & frozenset(preview.nominals))


async def progress_of(backfills: Backfills, recorded: StartedBackfill) -> BackfillProgress:
    """Return the progress of the followed firings, also of those that an earlier backfill added.

    Firings that another backfill had finished before this one was stored are not counted.
    """
    return await backfills.progress(recorded.backfill, recorded.followed)


async def follow(
    backfills: Backfills,
    recorded: StartedBackfill,
    *,
    timeout_seconds: float,
    on_progress: Callable[[BackfillProgress], None],
) -> BackfillProgress:
    """Return the progress once all firings have ended; WaitTimeoutError when time is up.

    `on_progress` is called at each poll.
    """
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
                "the worker continues them",
                hint="repeat the command to follow them",
            )
        await asyncio.sleep(min(pause, max(deadline - loop.time(), 0.0)))
        pause = min(pause * 1.5, _LONGEST_POLL)


async def _chosen(preview: BackfillPreview, past: PastTimes) -> BackfillChoice:
    return await asyncio.to_thread(
        choose,
        preview.trigger,
        preview.nominals,
        past,
        preview.calendars,
        only_missed=preview.only_missed,
    )


def _trigger_name(name: str | None, triggers: Mapping[str, Trigger], owner: Subscription) -> str:
    listed = ", ".join(sorted(triggers))
    if not triggers:
        raise UsageError(
            f'subscription "{owner.name}" has no cron or interval trigger',
            hint=f"activityctl trigger {owner.name}",
        )
    if name is None and len(triggers) > 1:
        raise UsageError(
            f'subscription "{owner.name}" has several cron and interval triggers: {listed}',
            hint="choose one with --trigger",
        )
    if name is not None and name not in triggers:
        raise NotFoundError("trigger", name, hint=f"cron and interval triggers: {listed}")
    return name or next(iter(triggers))
