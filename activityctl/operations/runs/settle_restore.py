"""Settle a restore: bring Temporal together with a database that was restored from a backup.

The restored ledger decides. What Temporal has under way may be further than the ledger knows, or
unknown to it, so every open workflow is ended, and schedules of unknown subscriptions are deleted.
`recover` then begins the ledger's open runs again: their tasks that have ended stay ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Restore, Restores, RunStarter, ScheduleClient, ScheduleRegister

LISTED_WITHIN: Final = timedelta(seconds=10)
"""A workflow may be missing for so long in Temporal's listing after it was started."""
_AGAIN_AFTER: Final = 1.0
_AT_ONCE: Final = 16


@frozen_dataclass
class Settled:
    """What was ended in Temporal after a restore."""

    restore: Restore
    unknown: list[str]
    """Workflows of which the restored data do not know an open run."""
    carried: list[str]
    """Workflows whose runs the restored data know as open; they begin again."""
    schedules: list[str]
    """Schedules of subscriptions that the restored data do not know."""


class RestoreSettling:
    """Settles the newest restore, if that was not done yet."""

    def __init__(
        self,
        restores: Restores,
        starter: RunStarter,
        register: ScheduleRegister,
        schedule_client: ScheduleClient,
        clock: Callable[[], datetime],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._restores = restores
        self._starter = starter
        self._register = register
        self._schedule_client = schedule_client
        self._clock = clock
        self._wait = wait
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def settle(self) -> Settled | None:
        """Settle the restores that are not; None if there is nothing to do.

        Only one process does it, before it begins with its work; the others wait for it.
        UnreachableError when Temporal does not answer; a repeat goes on where this one ended.
        """
        settled = None
        while await self._unsettled() is not None:
            async with self._register.drift_lock() as is_ours:
                if is_ours and (restore := await self._unsettled()) is not None:
                    settled = await self._settle(restore)
                    continue  # there may be another one meanwhile
            await self._wait(_AGAIN_AFTER)
        return settled

    async def _unsettled(self) -> Restore | None:
        latest = await self._restores.latest()
        return latest if latest is not None and latest.settled_at is None else None

    async def _settle(self, restore: Restore) -> Settled:
        reason = (
            f"the database was restored from a backup of {restore.taken_at:%Y-%m-%d %H:%M:%S} UTC, "
            "which decides what goes on"
        )
        ended: dict[str, None] = {}
        has_all = False
        while not has_all:
            has_all = self._clock() - restore.restored_at >= LISTED_WITHIN
            found = await self._starter.open_workflows()
            ended |= dict.fromkeys(sorted(found))
            await self._end(found, reason)
            if not has_all:
                await self._wait(_AGAIN_AFTER)
        carried = await self._restores.carried(ended)
        schedules = await self._delete_unknown_schedules()
        unknown = [each for each in ended if each not in carried]
        await self._restores.settle(restore.restored_at, unknown)
        return Settled(restore, unknown, sorted(carried), schedules)

    async def _end(self, workflow_ids: Collection[str], reason: str) -> None:
        async def end(workflow_id: str) -> None:
            async with self._turns:
                await self._starter.terminate(workflow_id, reason)

        await asyncio.gather(*map(end, workflow_ids))

    async def _delete_unknown_schedules(self) -> list[str]:
        unknown: list[str] = []
        async for page in self._schedule_client.list_pages():
            ids = [observed.id for observed in page]
            stored = await self._register.stored(ids)
            unknown += [each for each in ids if each not in stored]
        for schedule_id in unknown:
            await self._schedule_client.delete(schedule_id)
        return unknown
