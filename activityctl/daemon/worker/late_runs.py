"""Notes runs that are late, by the `slo` of their definition, and emits an event for each."""

import logging
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.manifests.run_limits import Slo
from activityctl.domain.runs.lateness import LateRun, late_deadlines, late_entry, late_event
from activityctl.ports import EventStore, Lateness

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 500
_RECENT: Final = timedelta(minutes=10)
"""Runs that end between two looks are found if they were created within this time."""


class LateRunWatch:
    """Looks for late runs. Several workers can look at once: each lateness is noted once."""

    def __init__(self, lateness: Lateness, events: EventStore) -> None:
        self._lateness = lateness
        self._events = events

    async def look(self) -> None:
        """Note every deadline that was missed since the last look.

        The event is stored first: if the worker is killed in between, it is stored again, which
        changes nothing.
        """
        slos = await self._lateness.slos()
        if not slos:
            return
        now = await self._lateness.now()
        shortest = {revision: _shortest(slo) for revision, slo in slos.items()}
        found = await self._lateness.candidates(shortest, _RECENT, _AT_ONCE)
        noted = await self._lateness.of_runs([run.run_id for _, run in found])
        known = {(each.run_id, each.deadline) for each in noted}
        for revision, run in found:
            for late in late_deadlines(run, slos[revision], now):
                if (run.run_id, late.deadline) not in known:
                    await self._note(late, now)

    async def _note(self, late: LateRun, now: datetime) -> None:
        if (event := late_event(late)) is not None:
            await self._events.add([event])
        if await self._lateness.note(late, late_entry(late, now)):
            _LOG.warning(late.message, extra={"run": late.run.run_id})


def _shortest(slo: Slo) -> timedelta:
    return min(each for each in (slo.start_within, slo.end_within) if each is not None)
