"""Child runs: starts the runs that tasks ask for, tells the tasks of their ends, cancels them."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.children import (
    TRIGGER,
    ChildRequest,
    child_key,
    depth_of,
    ended_answer,
    started_answer,
)
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.tasks.activity import MAX_DEPTH
from activityctl.domain.timing.firing import FiringRequest
from activityctl.errors import ConflictError, NotFoundError
from activityctl.ports import Catalog, Outbox, RunStore, Waits

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 200
"""The most runs of which one call starts, settles or cancels."""
_UNWANTED: Final = "cancelled with the task that started it"


class ChildRuns:
    """Keeps tasks and the runs that they started in step. Each call may be repeated."""

    def __init__(
        self,
        waits: Waits,
        catalog: Catalog,
        outbox: Outbox,
        runs: RunStore,
        clock: Callable[[], datetime],
    ) -> None:
        self._waits = waits
        self._catalog = catalog
        self._outbox = outbox
        self._runs = runs
        self._clock = clock

    async def keep(self) -> None:
        """Start the runs that are asked for; settle those that have ended or are not wanted."""
        for request in await self._waits.children_to_start(_AT_ONCE):
            await self._start(request)
        for task_id, run_id in await self._waits.ended_children(_AT_ONCE):
            state = await self._runs.load(run_id)
            if state is not None:
                await self._waits.answer(task_id, ended_answer(state))
        for run_id in await self._waits.unwanted_children(_AT_ONCE):
            _LOG.info("run is cancelled with the task that started it", extra={"run": run_id})
            await self._runs.request_cancel(run_id, self._clock(), _UNWANTED)

    async def _start(self, request: ChildRequest) -> None:
        name = str(request.body["subscription"])
        if depth_of(request.parent_key) >= MAX_DEPTH:
            error = f"activities may start one another {MAX_DEPTH} deep, and this would be deeper"
            await self._waits.answer(request.task_id, Answer(error=error))
            return
        owner = await self._subscription(name)
        if owner is None:
            error = f'there is no subscription "{name}"'
            await self._waits.answer(request.task_id, Answer(error=error))
            return
        now = self._clock()
        payload = request.body.get("payload") or {}
        firing = FiringRequest(owner.id, TRIGGER, child_key(request), now, payload)
        await self._outbox.add([firing], now)
        await self._waits.child_started(request.task_id, firing.ref.run_id)
        if request.body.get("wait") is False:
            await self._waits.answer(request.task_id, started_answer(firing.ref.run_id))

    async def _subscription(self, name: str) -> Subscription | None:
        """Return the live subscription of exactly that name; None if there is none."""
        try:
            found = await self._catalog.find_subscription(name)
        except (NotFoundError, ConflictError):
            return None
        is_live = found.status is not SubscriptionStatus.DELETED
        return found if found.name == name and is_live else None
