"""The auditor: finds schedules that others changed in Temporal, and heals them.

What the product itself has yet to carry out is the reconciler's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from activityctl.daemon.worker.schedule_maintenance import ScheduleMaintenance
from activityctl.domain.gitops.drift import Drift, ObservedSchedule, StoredSchedule, drift_of
from activityctl.domain.values.ids import ScheduleId
from activityctl.errors import ActivityctlError
from activityctl.ports import UnsyncedSchedule

_LOG = logging.getLogger(__name__)
_BATCH: Final = 500
_AT_ONCE: Final = 16
_LOOKED_INTO: Final = 100
"""How many an audit looks at in full, in turn: a listing leaves policies and actions out."""


class DriftDetector:
    """One of all workers audits at a time; a schedule of another database is left alone."""

    def __init__(self, upkeep: ScheduleMaintenance) -> None:
        self._upkeep = upkeep
        self._register = upkeep.register
        self._schedule_client = upkeep.schedule_client
        self._calls = asyncio.Semaphore(_AT_ONCE)
        self._looked_into = ""
        self._has_warned_of_unknown = False

    async def detect_and_repair(self) -> int:
        """Compare everything that Temporal lists with what is recorded, and heal what drifted.

        Returns how many schedules were healed.
        """
        async with self._register.drift_lock() as is_ours:
            if not is_ours:
                return 0
            healed = 0
            for batch in _batches(await self._suspects()):
                # A list may be older than a change of ours: only a fresh look is believed.
                if drifted := await self._drifted(batch):
                    healed += await self._heal(list(drifted))
            return healed

    async def _suspects(self) -> list[str]:
        """Return ids of all schedules that may have drifted, each once."""
        suspects: dict[str, None] = {}
        listed: set[str] = set()
        async for page in self._schedule_client.list_pages():
            recorded = await self._register.stored([one.id for one in page])
            self._warn_of_unknown_schedules(page, recorded)
            listed.update(recorded)
            suspects |= {
                one.id: None
                for one in page
                if one.id in recorded and drift_of(recorded[one.id], one) is not None
            }
        async for placed in self._synced_pages():
            suspects |= {one: None for one in placed if one not in listed}
        return list(suspects | dict.fromkeys(await self._next_to_inspect()))

    async def _synced_pages(self) -> AsyncIterator[list[ScheduleId]]:
        after = ""
        while ids := await self._register.synced_ids(after=after, limit=_BATCH):
            yield ids
            after = ids[-1]

    async def _next_to_inspect(self) -> list[ScheduleId]:
        ids = await self._register.synced_ids(after=self._looked_into, limit=_LOOKED_INTO)
        self._looked_into = ids[-1] if len(ids) == _LOOKED_INTO else ""
        return ids

    async def _drifted(self, ids: Sequence[str]) -> dict[str, tuple[StoredSchedule, Drift]]:
        """Look at each in full and return those that drifted."""
        recorded = await self._register.stored(ids)
        drifts = await asyncio.gather(*(self._drift(one) for one in recorded.values()))
        pairs = zip(recorded.items(), drifts, strict=True)
        return {key: (one, drift) for (key, one), drift in pairs if drift is not None}

    async def _drift(self, recorded: StoredSchedule) -> Drift | None:
        async with self._calls:
            return drift_of(recorded, await self._schedule_client.describe(recorded.id))

    async def _heal(self, ids: Sequence[str]) -> int:
        """Heal what still drifts while nobody else may place schedules."""
        async with self._upkeep.exclusive() as is_ours:
            if not is_ours:
                return 0
            drifted = await self._drifted(ids)
            healings = (self._heal_one(recorded, drift) for recorded, drift in drifted.values())
            return sum(await asyncio.gather(*healings))

    async def _heal_one(self, recorded: StoredSchedule, drift: Drift) -> bool:
        try:
            async with self._calls:
                await self._restore(recorded)
        except ActivityctlError as error:
            fields = {"schedule": recorded.id, "subscription": recorded.subscription_id}
            _LOG.warning("schedule not healed: %s", error, extra=fields)
            return False
        await self._tell(recorded, drift)
        return True

    async def _restore(self, recorded: StoredSchedule) -> None:
        if recorded.wanted is None:
            await self._schedule_client.delete(recorded.id)
            return
        paused, wanted_hash = recorded.paused, recorded.wanted_hash
        await self._schedule_client.create_or_update(recorded.wanted, paused=paused)
        done = UnsyncedSchedule(recorded.id, recorded.wanted, paused, wanted_hash)
        await self._register.mark_synced([done], self._upkeep.clock())

    async def _tell(self, recorded: StoredSchedule, drift: Drift) -> None:
        message = drift.message(recorded.trigger)
        found, healed = list(drift.found), list(drift.healed)
        await self._upkeep.warn(recorded, message, found=found, healed=healed)

    def _warn_of_unknown_schedules(
        self, page: Sequence[ObservedSchedule], recorded: Mapping[str, StoredSchedule]
    ) -> None:
        strangers = [one.id for one in page if one.id not in recorded]
        if strangers and not self._has_warned_of_unknown:
            self._has_warned_of_unknown = True
            message = "schedules of another database stand in this namespace and are left alone"
            _LOG.warning(message, extra={"schedule": strangers[0]})


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while batch := list(islice(left, _BATCH)):
        yield batch
