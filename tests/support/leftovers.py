"""Leftovers: ends the workflows that the worker of a test left open in the shared Temporal."""

from activityctl import wiring
from activityctl.settings import Secret, Settings

_WORKED_ON: set[Secret | None] = set()
"""The databases on which a worker was at work."""


def note_worker(settings: Settings) -> None:
    """Remember that a worker with these settings starts."""
    _WORKED_ON.add(settings.database_url)


async def end_workflows(settings: Settings) -> None:
    """End the open workflows if a worker was at work on the database of the test.

    The next test has a database of its own, but the same Temporal and often the same ids. If a
    worker stops while the last step of a workflow is on its way to it, that stays open for 10 s,
    and the run of the next test with the same id would have to wait for it.
    """
    if settings.database_url not in _WORKED_ON:
        return
    starter = wiring.build_starter(await wiring.connect_temporal(settings))
    for workflow_id in await starter.open_workflows():
        await starter.terminate(workflow_id, "its test is over")
