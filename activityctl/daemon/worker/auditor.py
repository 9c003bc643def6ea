"""The auditor: finds schedules that others changed in Temporal, and heals them.

What the product itself has yet to carry out is the reconciler's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from activityctl.daemon.worker.upkeep import Upkeep
from activityctl.domain.gitops.drift import Drift, ObservedSchedule, RecordedSchedule, drift_of
from activityctl.domain.values.ids import ScheduleId
from activityctl.errors import ActivityctlError
from activityctl.ports import ScheduleDrift

_LOG = logging.getLogger(__name__)
_BATCH: Final = 500
_AT_ONCE: Final = 16
_LOOKED_INTO: Final = 100
"""How many an audit looks at in full, in turn: a listing leaves policies and actions out."""


class Auditor:
    """One of all workers audits at a time; a schedule of another database is left alone."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._register = upkeep.register
        self._placer = upkeep.placer
        self._calls = asyncio.Semaphore(_AT_ONCE)
        self._looked_into = ""
        self._knows_strangers = False

    async def audit(self) -> int:
        """Compare everything that Temporal lists with what is recorded, and heal what drifted.

        Returns how many schedules were healed.
        """
        async with self._register.auditing() as is_ours:
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
        async for page in self._placer.listed():
            recorded = await self._register.recorded([one.id for one in page])
            self._tell_of_strangers(page, recorded)
            listed.update(recorded)
            suspects |= {
                one.id: None
                for one in page
                if one.id in recorded and drift_of(recorded[one.id], one) is not None
            }
        async for placed in self._placed():
            suspects |= {one: None for one in placed if one not in listed}
        return list(suspects | dict.fromkeys(await self._next_to_look_into()))

    async def _placed(self) -> AsyncIterator[list[ScheduleId]]:
        after = ""
        while ids := await self._register.placed(after=after, limit=_BATCH):
            yield ids
            after = ids[-1]

    async def _next_to_look_into(self) -> list[ScheduleId]:
        ids = await self._register.placed(after=self._looked_into, limit=_LOOKED_INTO)
        self._looked_into = ids[-1] if len(ids) == _LOOKED_INTO else ""
        return ids

    async def _drifted(self, ids: Sequence[str]) -> dict[str, tuple[RecordedSchedule, Drift]]:
        """Look at each in full and return those that drifted."""
        recorded = await self._register.recorded(ids)
        drifts = await asyncio.gather(*(self._drift(one) for one in recorded.values()))
        pairs = zip(recorded.items(), drifts, strict=True)
        return {key: (one, drift) for (key, one), drift in pairs if drift is not None}

    async def _drift(self, recorded: RecordedSchedule) -> Drift | None:
        async with self._calls:
            return drift_of(recorded, await self._placer.observe(recorded.id))

    async def _heal(self, ids: Sequence[str]) -> int:
        """Heal what still drifts while nobody else may place schedules."""
        async with self._upkeep.placing() as is_ours:
            if not is_ours:
                return 0
            drifted = await self._drifted(ids)
            healings = (self._heal_one(recorded, drift) for recorded, drift in drifted.values())
            return sum(await asyncio.gather(*healings))

    async def _heal_one(self, recorded: RecordedSchedule, drift: Drift) -> bool:
        try:
            async with self._calls:
                await self._put_right(recorded)
        except ActivityctlError as error:
            fields = {"schedule": recorded.id, "subscription": recorded.subscription_id}
            _LOG.warning("schedule not healed: %s", error, extra=fields)
            return False
        await self._tell(recorded, drift)
        return True

    async def _put_right(self, recorded: RecordedSchedule) -> None:
        if recorded.wanted is None:
            await self._placer.remove(recorded.id)
            return
        paused, wanted_hash = recorded.paused, recorded.wanted_hash
        await self._placer.place(recorded.wanted, paused=paused)
        done = ScheduleDrift(recorded.id, recorded.wanted, paused, wanted_hash)
        await self._register.observed([done], self._upkeep.clock())

    async def _tell(self, recorded: RecordedSchedule, drift: Drift) -> None:
        message = drift.message(recorded.trigger)
        found, healed = list(drift.found), list(drift.healed)
        await self._upkeep.tell(recorded, message, found=found, healed=healed)

    def _tell_of_strangers(
        self, page: Sequence[ObservedSchedule], recorded: Mapping[str, RecordedSchedule]
    ) -> None:
        strangers = [one.id for one in page if one.id not in recorded]
        if strangers and not self._knows_strangers:
            self._knows_strangers = True
            message = "schedules of another database stand in this namespace and are left alone"
            _LOG.warning(message, extra={"schedule": strangers[0]})


def _batches(ids: Sequence[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while batch := list(islice(left, _BATCH)):
        yield batch
