"""What a worker does about restores of the database before it begins to work."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from activityctl import wiring
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import SchemaMismatchError
from activityctl.operations.runs.settle_restore import RestoreSettling, Settled
from activityctl.ports import Restores, RunStarter, ScheduleClient

_LOG = logging.getLogger(__name__)
_ASK_AGAIN: Final = 1.0
_NAMED: Final = 100


async def wait_for_restore(restores: Restores) -> None:
    """Wait while the database is restored by somebody who has fenced off the workers."""
    has_told = False
    while await _is_fenced(restores):
        if not has_told:
            _LOG.warning("the database is being restored from a backup; waiting for the end of it")
            has_told = True
        await asyncio.sleep(_ASK_AGAIN)


async def _is_fenced(restores: Restores) -> bool:
    try:
        return await restores.is_fenced()
    except SchemaMismatchError:  # an older schema has no fence; the worker says so next
        return False


async def settle_restore(
    ports: wiring.Ports,
    temporal: tuple[RunStarter, ScheduleClient],
    clock: Callable[[], datetime],
) -> Settled | None:
    """Bring Temporal together with a database that was restored; say what was ended."""
    starter, schedule_client = temporal
    settling = RestoreSettling(ports.restores, starter, ports.register, schedule_client, clock)
    settled = await settling.settle()
    if settled is None:
        return None
    _LOG.warning(
        "the database was restored from a backup of %s: %s of Temporal that it does not know %s "
        "ended, %s that it knows begin again, %s deleted",
        settled.restore.taken_at.isoformat(timespec="seconds"),
        count_noun(len(settled.unknown), "workflow", "workflows"),
        "was" if len(settled.unknown) == 1 else "were",
        len(settled.carried),
        count_noun(len(settled.schedules), "unknown schedule was", "unknown schedules were"),
    )
    for workflow_id in settled.unknown[:_NAMED]:
        _LOG.warning("ended a workflow that the restored database does not know: %s", workflow_id)
    return settled
