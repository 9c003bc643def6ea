"""The drift detector: finds alarms that were changed in Temporal, and restores them.

It ignores schedules that are not synced yet; those are for the reconciler.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from activityctl.daemon.worker.refusals import Refusals
from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import Drift, ObservedAlarm, StoredAlarm, drift_of
from activityctl.domain.values.failure_kind import is_outage
from activityctl.domain.values.ids import AlarmId
from activityctl.ports import UnsyncedAlarm

_LOG = logging.getLogger(__name__)
_BATCH: Final = 500
_AT_ONCE: Final = 16
_INSPECTED: Final = 100
"""How many schedules each round describes, in turn: a listing has no policies and actions."""


class DriftDetector:
    """Only one worker checks at a time; schedules of another database are not changed."""

    def __init__(self, maintenance: ScheduleMaintenance) -> None:
        self._maintenance = maintenance
        self._register = maintenance.register
        self._schedule_client = maintenance.schedule_client
        self._calls = asyncio.Semaphore(_AT_ONCE)
        self._refusals = Refusals(maintenance.clock)
        self._answers = 0
        self._outages = 0
        self._inspected_up_to = ""
        self._has_warned_of_unknown = False

    async def detect_and_repair(self) -> int:
        """Compare and restore as `restore` does; return how many schedules were restored."""
        return len(await self.restore())

    async def restore(self) -> list[StoredAlarm]:
        """Compare all schedules in Temporal with Postgres; return those that were restored.

        One that fails is tried again later and later. While there is one, RefusedError after all
        others were compared. UnreachableError if Temporal does not answer at all.
        """
        self._answers = self._outages = 0
        async with self._register.drift_lock() as is_ours:
            restored: list[StoredAlarm] = []
            if not is_ours:
                return restored
            for batch in _batches(await self._suspects()):
                # A listing may be older than our last change, so each suspect is described again.
                if drifted := await self._drifted(batch):
                    restored += await self._restore_drifted(list(drifted))
            self._refusals.raise_if_any("could not be compared or restored")
            return restored

    async def drifted(self) -> list[StoredAlarm]:
        """Return the schedules that differ from what Postgres wants; change nothing."""
        found: list[StoredAlarm] = []
        for batch in _batches(await self._suspects()):
            found += [stored for stored, _ in (await self._drifted(batch)).values()]
        return found

    async def _suspects(self) -> list[str]:
        """Return the ids of the schedules that may have drifted, each once."""
        suspects: dict[str, None] = {}
        listed: set[str] = set()
        async for page in self._schedule_client.list_pages():
            stored = await self._register.stored([observed.id for observed in page])
            self._warn_of_unknown_schedules(page, stored)
            listed.update(stored)
            suspects |= {
                observed.id: None
                for observed in page
                if observed.id in stored and drift_of(stored[observed.id], observed) is not None
            }
        async for synced in self._synced_pages():
            suspects |= {key: None for key in synced if key not in listed}
        suspects |= dict.fromkeys([*await self._next_to_inspect(), *self._refusals.due()])
        return [key for key in suspects if self._refusals.may_try(key)]

    async def _synced_pages(self) -> AsyncIterator[list[AlarmId]]:
        after = ""
        while ids := await self._register.synced_ids(after=after, limit=_BATCH):
            yield ids
            after = ids[-1]

    async def _next_to_inspect(self) -> list[AlarmId]:
        ids = await self._register.synced_ids(after=self._inspected_up_to, limit=_INSPECTED)
        self._inspected_up_to = ids[-1] if len(ids) == _INSPECTED else ""
        return ids

    async def _drifted(self, ids: Sequence[str]) -> dict[str, tuple[StoredAlarm, Drift]]:
        """Describe each schedule in Temporal and return those that drifted, by id."""
        stored = await self._register.stored(ids)
        for key in set(ids) - stored.keys():
            self._refusals.remove(key)
        drifts = await asyncio.gather(*(self._drift(schedule) for schedule in stored.values()))
        pairs = zip(stored.items(), drifts, strict=True)
        return {key: (schedule, drift) for (key, schedule), drift in pairs if drift is not None}

    async def _drift(self, stored: StoredAlarm) -> Drift | None:
        """Return the difference; None also if this schedule alone could not be described."""
        try:
            async with self._calls:
                drift = drift_of(stored, await self._schedule_client.describe(stored.id))
        except Exception as error:  # noqa: BLE001  # logged; the others go on
            self._failed("compare", stored, error)
            return None
        self._answers += 1
        if drift is None:
            self._refusals.remove(stored.id)
        return drift

    def _failed(self, action: str, stored: StoredAlarm, error: Exception) -> None:
        """Remember and log it; raise it if Temporal answers for no schedule."""
        self._outages += is_outage(error)
        if self._outages >= _AT_ONCE and not self._answers:
            raise error
        self._refusals.add(stored.id, error)
        _LOG.warning("could not %s alarm: %s", action, error, extra={"alarm": stored.id})

    async def _restore_drifted(self, ids: Sequence[str]) -> list[StoredAlarm]:
        """Restore those that still differ while no other process can change schedules."""
        async with self._maintenance.exclusive() as is_ours:
            if not is_ours:
                return []
            drifted = await self._drifted(ids)
            restoring = (self._restore_one(stored, drift) for stored, drift in drifted.values())
            results = zip(drifted.values(), await asyncio.gather(*restoring), strict=True)
            return [stored for (stored, _), is_restored in results if is_restored]

    async def _restore_one(self, stored: StoredAlarm, drift: Drift) -> bool:
        """Restore a schedule and write a warning; return False if Temporal did not accept it."""
        try:
            async with self._calls:
                await self._update_in_temporal(stored)
        except Exception as error:  # noqa: BLE001  # logged; the others go on
            self._failed("restore", stored, error)
            return False
        self._refusals.remove(stored.id)
        found, healed = list(drift.found), list(drift.healed)
        await self._maintenance.warn(stored, drift.message, found=found, healed=healed)
        return True

    async def _update_in_temporal(self, stored: StoredAlarm) -> None:
        if stored.wanted is None:
            await self._schedule_client.delete(stored.id)
            return
        await self._schedule_client.create_or_update(stored.id, stored.wanted)
        done = UnsyncedAlarm(stored.id, stored.wanted)
        await self._register.mark_synced([done], self._maintenance.clock())

    def _warn_of_unknown_schedules(
        self, page: Sequence[ObservedAlarm], stored: Mapping[str, StoredAlarm]
    ) -> None:
        """Warn once of schedules that belong to another database."""
        unknown = [observed.id for observed in page if observed.id not in stored]
        if unknown and not self._has_warned_of_unknown:
            self._has_warned_of_unknown = True
            message = "this namespace has schedules of another database; they are not changed"
            _LOG.warning(message, extra={"schedule": unknown[0]})


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while batch := list(islice(left, _BATCH)):
        yield batch
