"""Read what is going on, with the living workers, in two round trips."""

from dataclasses import replace

from activityctl.domain.runs.at_work import AtWork
from activityctl.ports import Facts, Workers


async def what_is_at_work(facts: Facts, workers: Workers, text: str | None = None) -> AtWork:
    """Return what is going on; only runs that have the text are listed."""
    found = await facts.at_work(text)
    return replace(found, workers=tuple(await workers.alive()))
